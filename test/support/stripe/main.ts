/** The stand-in as a process of its own: prints one line with its address and runs until it is told to stop. */
import { startFakeStripe } from "./fake-stripe.ts";

const fake = await startFakeStripe({ now: () => new Date() });
process.stdout.write(`${JSON.stringify({ url: fake.url })}\n`);
process.once("SIGTERM", () => void fake.close());
