/** What this gateway knows of routes and keys. */
import { Budget, Known } from "./known.ts";
import type { GatewayDeps, GatewayKey, GatewayRoute } from "./ports.ts";

export class Directory {
  readonly #known: {
    readonly model: Known<GatewayRoute>;
    readonly name: Known<GatewayRoute>;
    readonly key: Known<GatewayKey>;
  };
  readonly #ofOwner: Known<readonly GatewayRoute[]>;
  readonly #stop: () => void;

  constructor(deps: GatewayDeps) {
    const { control } = deps;
    const budget = new Budget(deps);
    this.#known = {
      model: new Known(deps, budget, async (id) => (await control.routesByModelId([id]))[0]),
      name: new Known(deps, budget, async (name) => (await control.routesByServedName([name]))[0]),
      key: new Known(deps, budget, (hash) => control.keyByHash(Buffer.from(hash, "base64"))),
    };
    this.#ofOwner = new Known(deps, budget, (userId) => control.routesOfOwner(userId));
    this.#stop = control.onChange((what) => this.#changed(what));
  }

  model(id: string): GatewayRoute | undefined | Promise<GatewayRoute | undefined> {
    return this.#known.model.get(id);
  }

  name(name: string): GatewayRoute | undefined | Promise<GatewayRoute | undefined> {
    return this.#known.name.get(name);
  }

  /** `hash` is the key's SHA-256 in base64. */
  key(hash: string): GatewayKey | undefined | Promise<GatewayKey | undefined> {
    return this.#known.key.get(hash);
  }

  ofOwner(
    userId: string,
  ): readonly GatewayRoute[] | undefined | Promise<readonly GatewayRoute[] | undefined> {
    return this.#ofOwner.get(userId);
  }

  close(): void {
    this.#stop();
  }

  #changed(what: string): void {
    const colon = what.indexOf(":");
    const kind = what.slice(0, colon);
    const id = what.slice(colon + 1);
    const all = what === "";
    if (all || kind === "model") {
      // A name that was not known may be this model's; a list of an owner's models may have it or lose it.
      this.#known.model.drop((value, key) => all || key === id || value?.modelId === id);
      this.#known.name.drop((value) => all || value === undefined || value.modelId === id);
      this.#ofOwner.drop(() => true);
    }
    if (all || kind === "key")
      this.#known.key.drop((value) => all || value === undefined || value.keyId === id);
    if (kind === "user") {
      this.#known.key.drop((value) => value?.userId === id);
      this.#known.model.drop((value) => value?.ownerId === id);
      this.#known.name.drop((value) => value?.ownerId === id);
      this.#ofOwner.drop((_, key) => key === id);
    }
  }
}
