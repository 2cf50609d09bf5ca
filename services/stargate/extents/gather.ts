/**
 * Questions that are asked in one turn of the event loop, by callers that know nothing of each other,
 * as one: random reads of a block client at depth 32 become one call to another CVM, not thirty.
 */

import { assert } from "../../base/assert.ts";

interface Waiting<Q, A> {
  readonly questions: readonly Q[];
  readonly resolve: (answers: readonly A[]) => void;
  readonly reject: (error: unknown) => void;
}

export class Gather<Q, A> {
  readonly #askAll: (questions: readonly Q[]) => Promise<readonly A[]>;
  #waiting: Waiting<Q, A>[] = [];

  /** @param askAll one answer a question, in order */
  constructor(askAll: (questions: readonly Q[]) => Promise<readonly A[]>) {
    this.#askAll = askAll;
  }

  /** One answer a question, in order. @throws what asking all of the turn's questions throws */
  ask(questions: readonly Q[]): Promise<readonly A[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ questions, resolve, reject });
      // Two hops of the microtask queue: requests that came in together get here within them.
      if (this.#waiting.length === 1)
        void Promise.resolve().then(() =>
          Promise.resolve().then(() => {
            void this.#flush();
          }),
        );
    });
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      const all = waiting.flatMap(({ questions }) => questions);
      const answers = await this.#askAll(all);
      assert(answers.length === all.length, "every question has an answer");
      let at = 0;
      for (const { questions, resolve } of waiting) {
        resolve(answers.slice(at, at + questions.length));
        at += questions.length;
      }
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}
