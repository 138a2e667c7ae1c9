const WORDS_LENGTH_MAX = 500;

/** Keys and tokens never leave a replica, whoever wrote them into its log. Cut to what one line of words needs. */
export function redact(text: string, engineKey: string): string {
  const cut = text.slice(0, WORDS_LENGTH_MAX);
  return (engineKey === "" ? cut : cut.replaceAll(engineKey, "[redacted]"))
    .replace(/\bhf_\w+/g, "[redacted]")
    .replace(/\b(Bearer)\s+\S+/gi, "$1 [redacted]")
    .replace(/\b(sk|swt)[-_][\w-]{8,}/g, "[redacted]");
}
