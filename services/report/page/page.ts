/**
 * The report of a run as one HTML file: no other file, no network, no framework. Everything in it is
 * drawn before; the script only adds what a pointer asks for.
 */

import type { RunResult } from "../result.ts";
import { audits } from "./auditSection.ts";
import { chart } from "./chart.ts";
import { instantsOf } from "./instants.ts";
import { el, escaped } from "./markup.ts";
import { script } from "./script.ts";
import { eventList, header, jobTable, reproduce, section, verdicts } from "./sections.ts";
import { style } from "./style.ts";

/** Drawn twice: text of a wide drawing that is scaled down cannot be read on a small screen. */
const WIDE = 1136;
const SMALL = 472;

/** The page. */
export function htmlOf(result: RunResult): string {
  const title = `${result.ok ? "✓" : "✗"} ${result.scenario.name} · chaos run`;
  // A script's content is no markup: only its own end must not occur in it.
  const instants = JSON.stringify(instantsOf(result)).replaceAll("<", "\\u003c");
  const isWrong = result.audits.some((one) => !one.audit.ok);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${header(result)}
${verdicts(result)}
${isWrong ? audits(result) : ""}
${timeLine(result)}
${jobTable(result)}
${isWrong ? "" : audits(result)}
${reproduce(result)}
<footer>Times count from the first step of the scenario; setting up lies before it. Latency counts from when a write was due. RPO now: age of the newest recovery point that is whole at the other site. Lag: how long the oldest one that is not there yet waits.</footer>
</main>
<script type="application/json" id="instants">${instants}</script>
<script>${script}</script>
</body>
</html>
`;
}

function timeLine(result: RunResult): string {
  return section(
    "Time line",
    "timeline",
    el(
      "div",
      { class: "plot" },
      el("div", { class: "wide" }, chart(result, WIDE)),
      el("div", { class: "small" }, chart(result, SMALL)),
      el("div", { id: "values", role: "status" }),
    ),
    eventList(result),
  );
}
