/** Stands in for punycode.js, which only the link rules that markdown.ts replaces would call. */
export default {};
