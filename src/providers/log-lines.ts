/** Logs as they come over a connection, cut into lines. */

/** A line that never ends is passed on in parts. */
const LINE_LENGTH_MAX = 64 * 1024;

/** The lines of a body in UTF-8, the last one also where nothing ends it. */
export async function* linesIn(body: AsyncIterable<Buffer>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
    if (rest.length > LINE_LENGTH_MAX) {
      yield rest;
      rest = "";
    }
  }
  if (rest !== "") yield rest;
}
