/** Words from elsewhere (names, log lines, answers of models) must not steer the user's terminal. */

// Control characters but tab and line feed: among them the escape that begins every terminal command.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text that may have several lines. */
export function plain(text: string): string {
  return text.replace(CONTROL, "");
}

/** Text for one line. */
export function plainLine(text: string): string {
  return plain(text).replace(/\s+/g, " ").trim();
}
