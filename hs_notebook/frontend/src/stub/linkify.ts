/** Stands in for linkify-it: bare addresses are not turned into links here. */
export class LinkifyIt {}
