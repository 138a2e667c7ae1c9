/** The text of a PDF with standard fonts, in the order in which it was drawn: enough to see what is printed. */
import { inflateSync } from "node:zlib";

export function pdfText(pdf: Buffer): readonly string[] {
  return contentStreams(pdf).flatMap((content) =>
    // A run of text is `[<hex> kerning <hex> …] TJ`.
    [...content.matchAll(/\[([^\]]*)\] TJ/g)].map(([, run = ""]) =>
      [...run.matchAll(/<([0-9a-f]*)>/g)]
        .map(([, hex = ""]) => new TextDecoder("windows-1252").decode(Buffer.from(hex, "hex")))
        .join(""),
    ),
  );
}

function contentStreams(pdf: Buffer): readonly string[] {
  const latin1 = pdf.toString("latin1");
  return [...latin1.matchAll(/\/Length (\d+)[^>]*>>\nstream\n/g)].map((found) => {
    const from = found.index + found[0].length;
    return inflateSync(pdf.subarray(from, from + Number(found[1]))).toString("latin1");
  });
}
