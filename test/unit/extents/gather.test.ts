/** Questions of one turn become one call, and each caller gets its own answers. */

import { describe, expect, it } from "vitest";
import { Gather } from "../../../services/stargate/extents/gather.ts";

function open(answer: (all: readonly number[]) => readonly number[]) {
  const calls: (readonly number[])[] = [];
  const gather = new Gather<number, number>((all) => {
    calls.push(all);
    return Promise.resolve().then(() => answer(all));
  });
  return { gather, calls };
}

const doubled = (all: readonly number[]): readonly number[] => all.map((one) => one * 2);

describe("questions to another CVM", () => {
  it("of one turn go in one call, and every caller gets its own answers", async () => {
    const { gather, calls } = open(doubled);
    const late = Promise.resolve().then(() => gather.ask([4]));
    const answers = await Promise.all([gather.ask([1, 2]), gather.ask([]), gather.ask([3]), late]);
    expect(answers).toEqual([[2, 4], [], [6], [8]]);
    expect(calls).toEqual([[1, 2, 3, 4]]);
  });

  it("of another turn go in another call", async () => {
    const { gather, calls } = open(doubled);
    expect([await gather.ask([1]), await gather.ask([2])]).toEqual([[2], [4]]);
    expect(calls).toEqual([[1], [2]]);
  });

  it("fail together, and the next ones are asked again (P9)", async () => {
    let fails = true;
    const { gather } = open((all) => {
      if (fails) throw new Error("away");
      return doubled(all);
    });
    const asked = await Promise.allSettled([gather.ask([1]), gather.ask([2])]);
    expect(asked.map((one) => one.status)).toEqual(["rejected", "rejected"]);
    fails = false;
    expect(await gather.ask([3])).toEqual([6]);
  });
});
