/** The protocol's clients, with our errors and with streams that end when their reader leaves them. */
import type { DescMessage, DescService, MessageShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Transport } from "@connectrpc/connect";
import { SlipwayError } from "./error.ts";

/** A client whose failures are SlipwayErrors, whatever they were thrown as. */
export function typedClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const client = createClient(service, withTypedErrors(transport));
  const streams = service.methods
    .filter(({ methodKind }) => methodKind === "server_streaming")
    .map(({ localName }) => {
      // The filter says what the type can't: that these are streams.
      const open = client[localName] as unknown as OpenStream;
      return [localName, leavable(open)];
    });
  return Object.assign(client, Object.fromEntries(streams));
}

type OpenStream = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>;

/** The protocol's streams go on when a loop over them is left; these end their call. */
function leavable(open: OpenStream): OpenStream {
  return async function* stream(request, options = {}) {
    const left = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
    try {
      for await (const message of open(request, { ...options, signal })) yield message;
    } finally {
      left.abort();
    }
  };
}

function withTypedErrors(transport: Transport): Transport {
  return {
    unary: (...call) => transport.unary(...call).catch(rethrow),
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      // A timeout of 0 is none: what is watched may take days.
      const opened = transport.stream(method, signal, timeoutMs ?? 0, header, input, contextValues);
      const response = await opened.catch(rethrow);
      return { ...response, message: messagesOf(response.message) };
    },
  };
}

async function* messagesOf<D extends DescMessage>(
  messages: AsyncIterable<MessageShape<D>>,
): AsyncGenerator<MessageShape<D>> {
  try {
    yield* messages;
  } catch (error) {
    rethrow(error);
  }
}

function rethrow(thrown: unknown): never {
  throw SlipwayError.from(thrown);
}
