import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Running } from "./running.ts";

test("what was added and not taken out is there, whatever the order", () => {
  fc.assert(
    fc.property(fc.array(fc.nat()), (steps) => {
      const running = new Running<{ place: number }>();
      const model: { place: number }[] = [];
      for (const step of steps) {
        if (step % 2 === 0 || model.length === 0) {
          const one = { place: -1 };
          running.add(one);
          model.push(one);
        } else {
          const [one] = model.splice(step % model.length, 1);
          if (one) running.delete(one);
        }
        assert.equal(running.size, model.length);
        assert.deepEqual(new Set(running.list()), new Set(model));
      }
    }),
  );
});
