/** Text as the fonts that every PDF reader has can show it: Windows-1252. Pure. */

/** What Windows-1252 has beyond Latin-1. */
const BEYOND_LATIN_1: ReadonlySet<string> = new Set("€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ");

/** The text with a question mark for each character that can't be printed; CSV and JSON have it whole. */
export function printable(text: string): string {
  return [...text.normalize("NFC")].map((char) => (isPrintable(char) ? char : "?")).join("");
}

function isPrintable(char: string): boolean {
  const code = char.codePointAt(0) ?? 0;
  return (code >= 0x20 && code <= 0x7e) || (code >= 0xa0 && code <= 0xff) || BEYOND_LATIN_1.has(char);
}
