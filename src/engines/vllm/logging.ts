/**
 * Python's logging, as vLLM and its web server take it. It says what the default says, but for two things: the line with all
 * settings, which several versions print with the key in it, and everything that logs requests.
 */

/** Loggers that name settings; the function has moved between versions. */
const SETTINGS = [
  "vllm.entrypoints.utils",
  "vllm.entrypoints.openai.cli_args",
  "vllm.entrypoints.serve.utils.api_utils",
];
/** Loggers that show prompts, outputs or paths. */
const REQUESTS = ["vllm.entrypoints.logger", "uvicorn.access"];

export function loggingConfig(): object {
  const quiet = Object.fromEntries(
    [...SETTINGS, ...REQUESTS].map((name) => [name, { level: "ERROR", propagate: true }]),
  );
  const spoken = { level: "INFO", handlers: ["out"], propagate: false };
  return {
    version: 1,
    disable_existing_loggers: false,
    formatters: {
      line: {
        format: "%(levelname)s %(asctime)s [%(filename)s:%(lineno)d] %(message)s",
        datefmt: "%m-%d %H:%M:%S",
      },
    },
    handlers: { out: { class: "logging.StreamHandler", formatter: "line", stream: "ext://sys.stderr" } },
    loggers: { ...quiet, vllm: spoken, lmcache: spoken, uvicorn: spoken },
  };
}
