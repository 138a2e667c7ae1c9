/** Finds where JSON text stops being JSON. The engine's own message would quote the text, which may hold a secret. */
const TOKEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must be escaped in a JSON string
  /[ \t\r\n]*(?:(?<open>[{[])|(?<close>[}\]])|(?<comma>,)|(?<colon>:)|(?<string>"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(?<other>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/y;

type Expected = "value" | "value or ]" | "key" | "key or }" | "colon" | "comma or end" | "nothing";

/** The offset of the first token that can't stand where it does: the end of the text when it only stops too early. */
export function jsonErrorPosition(text: string): number {
  const open: string[] = [];
  let expected: Expected = "value";
  for (let at = 0; ; ) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups;
    const start = skipSpace(text, at);
    if (!groups) return start;
    const next = step(expected, groups, open);
    if (!next) return start;
    expected = next;
    at = TOKEN.lastIndex;
  }
}

/** What may follow a token, or undefined when the token itself may not stand here. Keeps the stack of open brackets. */
function step(
  expected: Expected,
  token: Record<string, string | undefined>,
  open: string[],
): Expected | undefined {
  const afterValue = (): Expected => (open.length === 0 ? "nothing" : "comma or end");
  const wantsValue = expected === "value" || expected === "value or ]";
  const wantsKey = expected === "key" || expected === "key or }";
  if (token.open) {
    if (!wantsValue) return undefined;
    open.push(token.open);
    return token.open === "{" ? "key or }" : "value or ]";
  }
  if (token.close) {
    const pair = token.close === "}" ? "{" : "[";
    const mayEnd = expected === "comma or end" || expected.endsWith(`or ${token.close}`);
    if (!mayEnd || open.pop() !== pair) return undefined;
    return afterValue();
  }
  if (token.comma) {
    if (expected !== "comma or end") return undefined;
    return open.at(-1) === "{" ? "key" : "value";
  }
  if (token.colon) return expected === "colon" ? "value" : undefined;
  if (token.string !== undefined && wantsKey) return "colon";
  return wantsValue ? afterValue() : undefined;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && " \t\r\n".includes(text.charAt(at))) at++;
  return at;
}
