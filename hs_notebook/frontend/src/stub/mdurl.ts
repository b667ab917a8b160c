/** Stands in for mdurl, which only the link rules that markdown.ts replaces would call. */
const same = (url: string): string => url;

export { same as decode, same as encode, same as format, same as parse };
