/** HTML that was made by `html`, and may be put into other HTML as it is. */
export interface Html {
  readonly html: string;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A template whose values are text, unless they are HTML themselves: nothing that a user wrote becomes markup. */
export function html(
  strings: TemplateStringsArray,
  ...values: readonly (string | Html | readonly Html[])[]
): Html {
  const text = strings.reduce(
    (all, part, index) => all + part + (index < values.length ? escaped(values[index]) : ""),
    "",
  );
  return { html: text };
}

function escaped(value: string | Html | readonly Html[] | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
  return "html" in value ? value.html : value.map((one) => one.html).join("\n");
}
