/**
 * Which process leads a site. Just after a kill the dead one still has the seat, until its lease ends, and
 * then nobody has it for a moment: who asks for the leader means the next one.
 */

import { AntipodeError, codeOf } from "../base/errors.ts";
import { callGenesis, type OpenLab, type SitePlan } from "../lab/index.ts";
import { CerebroService } from "../platform/wire/cerebro.ts";
import { GenesisService } from "../platform/wire/genesis.ts";
import type { Context } from "./command.ts";
import { callSite } from "./siteClient.ts";

/** Two leases of 5 s, the longest there are, and an election. */
const NEXT_LEADER_MS = 12_000;
const POLL_MS = 100;

/**
 * Id of the service that leads the site and runs; waits for it at most `NEXT_LEADER_MS`.
 * @throws AntipodeError `NO_LEADER`
 */
export async function leaderProcess(
  context: Context,
  open: OpenLab,
  site: SitePlan,
): Promise<string> {
  const { world, signal } = context;
  const untilMs = world.clock.now() + NEXT_LEADER_MS;
  for (;;) {
    const cvm = await leaderCvm(context, site);
    const { services } = await callGenesis(world, open, GenesisService.list, {}, signal);
    const leads = services.find((one) => one.id === `cerebro@${site.name}/${cvm}`);
    if (leads?.state === "running") return leads.id;
    if (world.clock.now() >= untilMs)
      throw new AntipodeError(
        "NO_LEADER",
        `site ${site.name} has had no leader that runs for 12 s`,
        {
          site: site.name,
        },
      );
    await world.clock.sleep(POLL_MS, signal);
  }
}

/** CVM of the leader; 0 when there is none, or when no Cerebro answers: the only one may just have been killed. */
async function leaderCvm(context: Context, site: SitePlan): Promise<number> {
  try {
    const plan = { service: "cerebro" } as const;
    return (await callSite(context, site, plan, CerebroService.leader, {})).cvm;
  } catch (error) {
    const code = codeOf(error);
    if (code !== "PEER_UNREACHABLE" && code !== "NO_LEADER") throw error;
    return 0;
  }
}
