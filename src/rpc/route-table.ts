import type { DescMethod } from "@bufbuild/protobuf";
import { invalidArgument, StatusError } from "../base/status.ts";
import { bindingsOf, type HttpBinding, type HttpVerb } from "./http-rule.ts";
import { compareTemplates, cutPath, matchPath, type PathValues } from "./path-template.ts";

export interface Route {
  readonly binding: HttpBinding;
  readonly values: PathValues;
}

/** Every HTTP binding of the served methods, the most definite templates first. */
export class RouteTable {
  readonly #bindings: readonly HttpBinding[];

  constructor(methods: readonly DescMethod[]) {
    this.#bindings = methods
      .flatMap((method) => bindingsOf(method))
      .sort((left, right) => compareTemplates(left.template, right.template));
  }

  /** Throws UNKNOWN_PATH, or WRONG_METHOD when the path exists under other verbs. */
  find(verb: string, path: string): Route {
    const cut = cutPath(path);
    const others = new Set<HttpVerb>();
    let verbSeen = false;
    for (const binding of this.#bindings) {
      // A path that ends in a known `:verb` is not also an id with a colon in it; templates with verbs come first.
      if (verbSeen && binding.template.verb === "") break;
      const values = decoded(() => matchPath(binding.template, cut));
      if (!values) continue;
      if (binding.verb === verb) return { binding, values };
      others.add(binding.verb);
      verbSeen ||= binding.template.verb !== "";
    }
    throw others.size > 0 ? wrongMethod([...others]) : unknownPath();
  }
}

function decoded<T>(match: () => T): T {
  try {
    return match();
  } catch {
    throw invalidArgument([{ field: "path", description: "has a broken percent-encoding" }]);
  }
}

export function wrongMethod(allowed: readonly string[]): StatusError {
  return new StatusError({
    code: "UNIMPLEMENTED",
    reason: "WRONG_METHOD",
    message: `This path does not take the method; it takes ${allowed.join(", ")}.`,
    metadata: { allowed: allowed.join(",") },
  });
}

export function unknownPath(): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "UNKNOWN_PATH",
    message: "Nothing is at this path. The operations are listed in /openapi.json.",
  });
}
