/**
 * A careless user of a simulated site: asks for what cannot be, while everything else goes on, and
 * judges the answers (P10). Bad input gets an error that says what is wrong with it, whatever breaks
 * meanwhile; that it changes nothing, all other checkers see. One run of some has such a user.
 */

import { AntipodeError, codeOf, type ErrorCode, messageOf } from "../../../services/base/errors.ts";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import type { Verdict } from "../check/contracts.ts";
import { Examination, momentItem } from "../check/examination.ts";
import { pick, type SimConfig } from "../config.ts";
import type { Recorder } from "../record.ts";
import { seedOf } from "../world/site.ts";
import type { World } from "../world/world.ts";
import { forgedAsks, wrongForwards } from "./forgedAsks.ts";
import { fickleAsks, wrongAbroad } from "./oddAsks.ts";
import { type Asked, ownThings, type WrongAsk, wrongAnywhere, wrongAtHome } from "./wrongAsks.ts";

const EVERY_MS = 300;
/** One of so many runs has a careless user. */
const ONE_OF = 3;
/** Where it makes things of its own. */
const HOME = "A";
/** Answers that say no more than that nobody answered. */
const NO_ANSWER: readonly ErrorCode[] = ["CANCELLED", "PEER_REFUSED"];
/** After this nothing of its own need be there any more. */
const FORGETTING_FAULT = "wipeEtcd";

/** What it asks for. */
export interface WrongAsks {
  readonly anywhere: readonly WrongAsk[];
  readonly atHome: readonly WrongAsk[];
}

export const allWrongAsks: WrongAsks = {
  anywhere: [...wrongAnywhere, ...forgedAsks],
  atHome: [...wrongAtHome, ...wrongAbroad, ...fickleAsks, ...wrongForwards],
};

export class CarelessUser {
  readonly #world: World;
  readonly #recorder: Recorder;
  readonly #prng: Prng;
  readonly #examination = new Examination("P10", "bad input gets what is wrong with it");
  readonly #asks: WrongAsks;
  #isStopping = false;
  #requests = 0;
  #made = 0;
  #asking: Promise<void> = Promise.resolve();

  constructor(
    { seed }: Pick<SimConfig, "seed">,
    { world, recorder }: { readonly world: World; readonly recorder: Recorder },
    asks: WrongAsks = allWrongAsks,
  ) {
    this.#asks = asks;
    this.#world = world;
    this.#recorder = recorder;
    this.#prng = createPrng(seedOf(seed, "careless"));
  }

  /** Begins when the first domain is active; in most runs there is no such user. */
  startSometimes(): void {
    if (this.#prng.below(ONE_OF) === 0) this.start();
  }

  start(): void {
    this.#asking = this.#run();
    // A bug is thrown where its end is waited for; until then it is no unhandled one.
    this.#asking.catch(() => undefined);
  }

  /** Resolves when the last answer is there. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#asking;
  }

  verdict(): Verdict {
    return this.#examination.conclude("answers to wrong requests");
  }

  async #run(): Promise<void> {
    const isStopping = (): boolean => this.#isStopping;
    while (!isStopping()) {
      await this.#world.clock.sleep(this.#prng.unit() * 2 * EVERY_MS);
      if (isStopping() || this.#recorder.activations.length === 0) continue;
      if (this.#made < ownThings.length) await this.#make();
      const isAtHome = this.#made === ownThings.length && this.#prng.below(2) === 0;
      if (isAtHome && !this.#isForgotten)
        await this.#ask(pick(this.#prng, this.#asks.atHome), HOME);
      else await this.#ask(pick(this.#prng, this.#asks.anywhere), this.#anySite());
    }
  }

  get #isForgotten(): boolean {
    return this.#recorder.faults.some(({ what }) => what.startsWith(FORGETTING_FAULT));
  }

  async #make(): Promise<void> {
    try {
      await ownThings[this.#made]?.(this.#askedOf(HOME));
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      if (!code.endsWith("_EXISTS")) return;
    }
    this.#made += 1;
  }

  async #ask({ what, codes, ask, mayBeDone }: WrongAsk, site: string): Promise<void> {
    const wanted = `be refused with ${codes.join(" or ")}`;
    const asked = momentItem(`${what} at ${site} was asked for`, this.#recorder.instant());
    const must = { what: `it must ${wanted}` };
    try {
      await ask(this.#askedOf(site));
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      if (error.retry !== "never" || NO_ANSWER.includes(error.code)) return;
      this.#examination.examine();
      if (codes.includes(error.code) || this.#isForgotten) return;
      const answer = `${error.code}, ${messageOf(error)}`;
      this.#examination.violate(
        "wrong-reason",
        { ...asked, what: `${asked.what}: ${answer}` },
        must,
      );
      return;
    }
    this.#examination.examine();
    // A site that was lost and came back loses answers too, without any fault of the schedule.
    if (this.#isForgotten || mayBeDone === true) return;
    this.#examination.violate("bad-input-taken", asked, must);
  }

  #askedOf(name: string): Asked {
    const site = this.#world.site(name);
    this.#requests += 1;
    return {
      world: this.#world,
      member: pick(this.#prng, site.members),
      requestId: `careless-${this.#requests}`,
      prng: this.#prng,
    };
  }

  #anySite(): string {
    return pick(this.#prng, this.#world.sites).name;
  }
}
