/** The style of the page: light and dark by the reader's choice, paper always light. */

const LIGHT = `--page:#fff;--text:#1b1f24;--muted:#57606a;--line:#d8dee4;--soft:#f6f8fa;
--good:#1a7f37;--goodSoft:#dafbe1;--bad:#b62324;--badSoft:#ffebe9;--unsure:#7d4e00;--unsureSoft:#fff8c5;
--band:#b6232414;--fault:#b62324;--action:#0550ae;--rate:#0969da;--rateSoft:#0969da2e;
--p50:#0969da;--p99:#8250df;--p999:#bc4c00;--max:#6e7781;--rpo:#8250df;--lag:#bc4c0038;
--cvm1:#b6e3ff;--cvm2:#ffd8b5;--cvm3:#d8f0c0;--cvm4:#ecd8ff;--cvm5:#ffe0ec;--cvm6:#d7dde4;--job:#d7e5f5;
--whole:#9ac7f0;--lost:#e9c46a;--ink:#1b1f24`;
const DARK = `--page:#0d1117;--text:#e6edf3;--muted:#9aa4af;--line:#30363d;--soft:#161b22;
--good:#3fb950;--goodSoft:#12261e;--bad:#ff7b72;--badSoft:#301416;--unsure:#e3b341;--unsureSoft:#2b2111;
--band:#ff7b7220;--fault:#ff7b72;--action:#79c0ff;--rate:#58a6ff;--rateSoft:#58a6ff38;
--p50:#58a6ff;--p99:#bc8cff;--p999:#f0883e;--max:#8b949e;--rpo:#bc8cff;--lag:#f0883e40;
--cvm1:#0c4a7a;--cvm2:#7a4210;--cvm3:#2b5a1b;--cvm4:#53308a;--cvm5:#7a2450;--cvm6:#444c56;--job:#233a55;
--whole:#2f6ea8;--lost:#8a6a1a;--ink:#fff`;

const RULES = `
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1200px;margin:0 auto;padding:28px 32px 56px}
h1{font-size:30px;line-height:1.2;margin:2px 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;margin:38px 0 10px}
h3{font-size:16px;margin:0 0 6px}
p{margin:0 0 6px}
.kind,.when,.description,.found{color:var(--muted)}
.kind,.when{font-size:13px}
.description{max-width:75ch}
.outcome{display:inline-block;margin:12px 0 4px;padding:5px 14px;border-radius:6px;font-size:17px;font-weight:600;border:1.5px solid}
.outcome.good{color:var(--good);background:var(--goodSoft)}
.outcome.bad{color:var(--bad);background:var(--badSoft)}
.figures{display:flex;flex-wrap:wrap;gap:10px 34px;margin:14px 0 12px}
.figures div{min-width:80px}
dt{font-size:12.5px;color:var(--muted)}
dd{margin:0;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}
.verdicts{list-style:none;margin:0;padding:0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
.verdicts li{display:grid;grid-template-columns:26px 40px 170px 1fr;gap:0 8px;padding:9px 14px;align-items:baseline;border-top:1px solid var(--line);border-left:5px solid}
.verdicts li:first-child{border-top-width:0}
.verdicts .good{border-left-color:var(--good)}
.verdicts .bad{border-left-color:var(--bad);background:var(--badSoft)}
.verdicts .unsure{border-left-color:var(--unsure);background:var(--unsureSoft)}
.sign{font-weight:700;font-size:17px}
.good .sign,.good .word{color:var(--good)}
.bad .sign,.bad .word{color:var(--bad)}
.unsure .sign,.unsure .word{color:var(--unsure)}
.word{font-weight:600}
.word small{font-weight:400;color:var(--muted);margin-left:8px}
.told p{margin:0}
.found{font-size:13.5px;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;min-width:100%;margin:6px 0}
th{font-weight:600;color:var(--muted);text-align:left;white-space:nowrap}
td:first-child{white-space:nowrap}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
.right{width:1%;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{margin:10px 0}
summary{cursor:pointer;font-weight:600;padding:3px 0}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:12px 14px;white-space:pre-wrap;overflow-wrap:anywhere;font:13.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:0}
.audit{border:1px solid var(--line);border-radius:8px;padding:14px 18px;margin:0 0 14px}
.audit.wrong{border-color:var(--bad);border-width:1.5px}
.wrong h3{color:var(--bad)}
figure{margin:12px 0}
.plain{margin:4px 0;padding-left:20px;font-size:13.5px}
svg{display:block;width:100%;height:auto;font-family:inherit}
.drawing{max-width:760px;min-width:500px}
.map{max-width:964px}
.sample{display:inline-block;width:15px;height:15px;vertical-align:-2px}
.mapLegend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 20px;margin:8px 0;padding:0;font-size:13px}
.plot{position:relative}
.small{display:none}
text{fill:var(--text);font-size:12px}
.tick,.legend{fill:var(--muted);font-size:11.5px;font-variant-numeric:tabular-nums}
.end{text-anchor:end}.mid{text-anchor:middle}
.panelTitle{font-weight:600;font-size:13.5px}
.number{font-size:10.5px;fill:var(--muted)}
.spanText{font-size:11.5px}
.spanText,.cellSign{fill:var(--ink);pointer-events:none}
.cellSign{font-size:9.5px;font-weight:700}
.grid{stroke:var(--line);stroke-width:1}
.axis{stroke:var(--muted);stroke-width:1}
.phase{fill:var(--soft);stroke:var(--line)}
.band{fill:var(--band)}
.fault{fill:var(--fault)}
.fault.skipped{fill:none;stroke:var(--fault);stroke-dasharray:2 2}
.action{fill:var(--action)}
.actionSpan{stroke:var(--action);stroke-width:2}
path.rate{fill:var(--rateSoft);stroke:var(--rate);stroke-width:1.4;stroke-linejoin:round}
rect.rate{fill:var(--rateSoft);stroke:var(--rate)}
.wanted{stroke:var(--muted);stroke-width:1.3;stroke-dasharray:5 4}
.p50,.p99,.p999,.max,.rpo{fill:none;stroke-linejoin:round;stroke-linecap:round}
.p50{stroke:var(--p50);stroke-width:2.2}
.p99{stroke:var(--p99);stroke-width:1.6;stroke-dasharray:7 3}
.p999{stroke:var(--p999);stroke-width:1.4;stroke-dasharray:2 3}
.max{stroke:var(--max);stroke-width:1}
.rpo{stroke:var(--rpo);stroke-width:2}
.lag{fill:var(--lag)}
.span{stroke:var(--page);stroke-width:1}
.cvm1{fill:var(--cvm1)}.cvm2{fill:var(--cvm2)}.cvm3{fill:var(--cvm3)}.cvm4{fill:var(--cvm4)}.cvm5{fill:var(--cvm5)}.cvm6{fill:var(--cvm6)}
.job{fill:var(--job);stroke:var(--line)}
.rival{stroke:var(--bad);stroke-width:2.5}
.write.missing{fill:var(--badSoft);stroke:var(--bad);stroke-width:1.5;stroke-dasharray:5 3}
.write.present{fill:var(--goodSoft);stroke:var(--good);stroke-width:1.5}
.drawing .spanText{fill:var(--text)}
.cellEmpty{fill:var(--soft);stroke:var(--line);stroke-width:.5}
.cellWhole{fill:var(--whole)}
.cellLost{fill:var(--lost)}
.cellStale,.cellTorn,.cellRot,.cellMisdirected,.cellGhost{fill:var(--badSoft);stroke:var(--bad);stroke-width:.8}
.mark{fill:none;stroke:var(--text);stroke-width:2.2}
.mark.missing{stroke-dasharray:4 2.5}
.cursor{stroke:var(--text);stroke-width:1;stroke-dasharray:2 2;visibility:hidden}
.chart:focus-visible{outline:2px solid var(--action);outline-offset:3px}
#values{position:absolute;top:0;left:0;z-index:2;visibility:hidden;pointer-events:none;background:var(--page);border:1px solid var(--muted);border-radius:6px;padding:7px 10px;font-size:12.5px;line-height:1.4;box-shadow:0 2px 10px #0003;white-space:pre;font-variant-numeric:tabular-nums;max-width:90vw}
footer{margin-top:40px;color:var(--muted);font-size:12.5px}`;

const SMALL = `
main{padding:18px 14px 40px}
h1{font-size:24px}
.wide{display:none}.small{display:block}
.figures{gap:10px 22px}
dd{font-size:17px}
.verdicts li{grid-template-columns:24px 36px 1fr;padding:9px 10px}
.told{grid-column:2/-1}
.audit{padding:12px}`;

const PAPER = `
body{font-size:10pt}
main{max-width:none;padding:0}
.verdicts li,figure,tr,.witness,header{break-inside:avoid}
h2,h3,figcaption{break-after:avoid}
h2{margin-top:18px}
#timeline{break-before:page}
.chart{max-height:170mm;width:auto;max-width:100%;margin:0 auto}
details>summary{list-style:none}
details:not(.quiet)::details-content{content-visibility:visible;display:block}
details.quiet{display:none}
pre{white-space:pre-wrap}
#values,.cursor,.hint{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}`;

/** All rules. */
export const style = `:root{color-scheme:light dark;${LIGHT}}
@media screen and (prefers-color-scheme:dark){:root{${DARK}}}
${RULES}
@media screen and (max-width:720px){${SMALL}}
@media print{@page{size:A4 landscape;margin:12mm}:root{color-scheme:light}${PAPER}}
`;
