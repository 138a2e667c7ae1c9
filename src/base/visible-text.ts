/** Names that people read must not hide anything: two that look the same are the same. */

// Control characters, marks that turn the direction of what follows, and what has no width. Joiners stay: scripts and emoji need them.
const HIDDEN = /[\p{Cc}\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u;

/** Whether a reader would not see all of the text, or see it in another order. */
export function hidesSomething(text: string): boolean {
  return HIDDEN.test(text);
}

/** The text with composed letters: what looks the same to a reader is the same to a comparison. */
export function composed(text: string): string {
  return text.normalize("NFC");
}
