export { REFUSED_AFTER_LOSS_MAX_MS, REFUSED_MAX_MS } from "./bounds.ts";
export { type Ground, layGround } from "./ground.ts";
export { type Proof, type ProveOptions, prove } from "./prove.ts";
export { PROGRAM, type Subject } from "./subject.ts";
