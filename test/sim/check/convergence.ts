/** P9 (I14): after faults end everything that was begun comes to an end by itself, within its budget. */

import type { Convergence, RunRecord, Verdict } from "./contracts.ts";
import { atMs, Examination, momentItem } from "./examination.ts";

/** Checks every duty of the run; a run that was never healed shows nothing. */
export function checkConvergence(record: RunRecord): Verdict {
  const examination = new Examination("P9", "everything converges after the faults end");
  for (const convergence of record.convergences) checkDuties(convergence, examination);
  return examination.conclude("duties");
}

function checkDuties({ healed, budgetMs, duties }: Convergence, examination: Examination): void {
  const allowed = momentItem(`the last fault was healed, with ${budgetMs} ms to converge,`, healed);
  for (const { name, state, settled } of duties) {
    examination.examine();
    if (settled === undefined)
      examination.violate("never-settled", { what: `${name} is ${state}` }, allowed);
    else if (settled.ms > healed.ms + budgetMs)
      examination.violate(
        "settled-late",
        { what: `${name} settled ${atMs(settled)}`, at: settled },
        allowed,
      );
  }
}
