/** Stands in for uc.micro: the two classes that markdown-it asks for, from the engine's own Unicode table. */
export const P = /\p{P}/u;
export const S = /\p{S}/u;
