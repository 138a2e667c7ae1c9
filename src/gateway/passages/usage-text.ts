/** Usage out of the end of an answer, without parsing all of it. */
import { normaliseUsage, type Usage } from "../../engines/usage.ts";

const NAME = Buffer.from('"usage"');
const COLON_AND_BRACE = /^\s*:\s*\{/;
/** A usage object is a few hundred bytes. */
const OBJECT_MAX_BYTES = 2_048;
/** How many fields of that name are looked at, from the end: in what follows usage there are none or one. */
const TRIES_MAX = 4;

/**
 * The last usage object in `bytes` that can be counted from. Only for text in which quotes of the client's are escaped: there a
 * bare `"usage":{` is a field of the engine's.
 */
export function usageIn(bytes: Buffer): Usage | undefined {
  let at = bytes.length;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    at = bytes.lastIndexOf(NAME, at - 1);
    if (at < 0) return undefined;
    const from = at + NAME.length;
    const found = read(bytes.toString("utf8", from, Math.min(bytes.length, from + OBJECT_MAX_BYTES)));
    if (found || at === 0) return found;
  }
  return undefined;
}

function read(text: string): Usage | undefined {
  const begin = COLON_AND_BRACE.exec(text)?.[0].length;
  if (begin === undefined) return undefined;
  const to = endOfObject(text, begin - 1);
  if (to < 0) return undefined;
  try {
    return normaliseUsage(JSON.parse(text.slice(begin - 1, to)));
  } catch {
    return undefined;
  }
}

/** Behind the brace that closes the one at `from`; -1 when it is not there. Usage has no strings, so braces are braces. */
function endOfObject(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 123) depth++;
    else if (char === 125 && --depth === 0) return at + 1;
  }
  return -1;
}
