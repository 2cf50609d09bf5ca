/** The page of a run: one file that needs no other, whole markup, and nothing that breaks out of it. */

import { describe, expect, it } from "vitest";
import { htmlOf, type RunResult } from "../../../services/report/index.ts";
import { goodRun, violatedRun } from "./sampleResults.ts";

const shape = { seed: 42, elapsedMs: 34_000, faults: 6 };
const good = goodRun(shape);
const EVIL = `"><script>alert(1)</script>&\u0000\ud800'`;

/** Content of a page without its style and scripts. */
function markupOf(html: string): string {
  return html.replace(/<(style|script)[^>]*>[\s\S]*?<\/\1>/g, "");
}

/** Names of elements that are open at the end, or closed in a wrong order. */
function unbalanced(markup: string): readonly string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, closing, name = ""] of markup.matchAll(/<(\/?)([a-z0-9]+)(?:\s[^>]*)?>/gi)) {
    if (["meta", "doctype", "br"].includes(name.toLowerCase())) continue;
    if (closing === "") open.push(name);
    else if (open.pop() !== name) wrong.push(name);
  }
  return [...wrong, ...open];
}

/** Every text of the result is what an attacker, or a careless user, wrote. */
function poisoned(result: RunResult): RunResult {
  const kept = ["held", "violated", "vacuous", "fault", "action", "heal", "source", "copy", "lab"];
  const values = ["cerebro.leader", "stargate.owner", "set up", "strike", "converge", "examine"];
  const poison = (_: string, value: unknown): unknown =>
    typeof value !== "string" || kept.includes(value) || values.includes(value) ? value : EVIL;
  return JSON.parse(JSON.stringify(result, poison)) as RunResult;
}

describe("the page of a run", () => {
  const samples: readonly (readonly [string, RunResult])[] = [
    ["a good run", good],
    ["a run with a violation", violatedRun(shape)],
    ["a very short run", goodRun({ seed: 1, elapsedMs: 900, faults: 1 })],
    ["a run with 60 faults", goodRun({ seed: 7, elapsedMs: 300_000, faults: 60 })],
    [
      "a run in which nothing was measured",
      {
        ...good,
        workloads: [],
        points: [],
        lanes: [],
        jobs: [],
        audits: [],
        events: [],
        phases: [],
        verdicts: [],
      },
    ],
    ["a run with evil names", poisoned(violatedRun(shape))],
  ];

  it.each(samples)(
    "%s: is whole, needs nothing from elsewhere, draws no number that is none",
    (_, run) => {
      const html = htmlOf(run);
      const markup = markupOf(html);
      expect(unbalanced(markup)).toEqual([]);
      expect(html).not.toMatch(/\b(?:src|href|url)\s*[=(]/i);
      expect(html).not.toMatch(/https?:|@import/);
      expect(markup).not.toMatch(/NaN|Infinity|undefined|\[object/);
      expect(html).toContain("default-src 'none'");
    },
  );

  it("lets no text of a result become markup, nor end a script", () => {
    const html = htmlOf(poisoned(violatedRun(shape)));
    expect(html).not.toContain("<script>alert");
    expect(html.match(/<script/g)?.length).toBe(2);
    expect(html.match(/<\/script>/g)?.length).toBe(2);
    expect(html).not.toContain("\u0000");
  });

  it("tells verdicts by sign and word, not by colour only", () => {
    const html = htmlOf(violatedRun(shape));
    expect(html).toMatch(
      /✗<\/span><strong class="invariant">P2<\/strong><span class="word">violated/,
    );
    expect(html).toMatch(
      /○<\/span><strong class="invariant">P5<\/strong><span class="word">vacuous/,
    );
    expect(html).toMatch(/✓<\/span><strong class="invariant">P1<\/strong><span class="word">held/);
  });

  it("says which write is missing, which is there, and where", () => {
    const html = htmlOf(violatedRun(shape));
    expect(html).toContain(
      "Write 699606 on oltp-log, acknowledged at 14:02:14.226 UTC, is missing, although write 699981 on oltp-data, issued 41 ms later, is there.",
    );
    expect(html).toContain("dashed ring: block 812, write 699606 is missing");
    expect(html).toContain("blocks 802 to 847: older than it must be: out of order");
  });

  it("marks two leaders of one time", () => {
    const lanes: RunResult["lanes"] = [
      {
        site: "A",
        role: "cerebro.leader",
        subject: "",
        spans: [
          { cvm: 1, epoch: 4, fromMs: 0, toMs: 20_000 },
          { cvm: 2, epoch: 4, fromMs: 10_000, toMs: 30_000 },
        ],
      },
    ];
    expect(htmlOf({ ...good, lanes })).toContain("CVM 1, epoch 4, 0 to 20 s; TWO AT ONE TIME");
    expect(htmlOf(good)).not.toContain("TWO AT ONE TIME");
  });

  it("gives every drawing a name, and numbers every event of the chart as the list does", () => {
    const html = htmlOf(good);
    for (const [svg] of html.matchAll(/<svg[^>]*>/g))
      expect(svg).toMatch(/role="img" aria-label=|aria-hidden="true"/);
    for (let number = 1; number <= good.events.length; number++) {
      expect(html).toContain(`<title>${number}. at `);
      expect(html).toContain(`<td class="right">${number}</td>`);
    }
  });
});
