/**
 * Stargates know names of vDisks by a view of etcd that may be seconds late. When an activation gives a name
 * to another vDisk (setAside.ts), a late one would serve the old vDisk under it. So the activation waits until
 * every Stargate that answers knows better; one that does not answer reads etcd anew when it starts.
 */

import { fromUtf8 } from "../../base/bytes.ts";
import { AntipodeError, codeOf } from "../../base/errors.ts";
import { siteKeys } from "../../base/siteRecords.ts";
import type { Infer } from "../../base/wire.ts";
import { type VdiskMessage, VdiskService } from "../../platform/wire/stargate.ts";
import { VDISK_DEADLINE_MS } from "../limits.ts";
import { callStargate, type Site } from "../site.ts";

/** A view is read anew every 5 s at the latest, when its watch is blind. */
const VIEW_LATE_MS_MAX = 6000;
const LOOK_MS = 100;

/**
 * The vDisk that has the name now, as a Stargate shows it that knows so.
 * @throws AntipodeError `VDISK_NOT_FOUND`; `COORDINATOR_CONFLICT` when it changes hands all the time
 */
export async function showCurrent(site: Site, name: string): Promise<Infer<typeof VdiskMessage>> {
  const untilMs = site.clock.now() + VIEW_LATE_MS_MAX;
  for (;;) {
    const named = await site.coordinator.get(siteKeys.vdiskName(name));
    const shown = await callStargate(site, VdiskService.showVdisk, { name }, VDISK_DEADLINE_MS);
    if (named !== undefined && shown.id === fromUtf8(named.value)) return shown;
    if (site.clock.now() >= untilMs)
      throw new AntipodeError(
        "COORDINATOR_CONFLICT",
        `no Stargate knows the vDisk ${name} as it is`,
        {
          vdisk: name,
        },
      );
    await site.clock.sleep(LOOK_MS);
  }
}

/** Resolves when every Stargate that answers serves these vDisks under their names, or after the bound. */
export async function awaitViews(
  site: Site,
  vdisks: readonly { readonly vdiskId: string; readonly vdiskName: string }[],
): Promise<void> {
  const untilMs = site.clock.now() + VIEW_LATE_MS_MAX;
  await Promise.all(
    site.config.members.map(async ({ cvm, stargate }) => {
      const client = site.rpc.connect(stargate);
      for (const { vdiskId, vdiskName } of vdisks)
        while (!(await knows(client, vdiskName, vdiskId, untilMs - site.clock.now()))) {
          if (site.clock.now() >= untilMs) {
            site.log.warn(
              { event: "activation.viewLate", cvm, vdisk: vdiskName },
              "a Stargate does not know a vDisk of the activation yet",
            );
            return;
          }
          await site.clock.sleep(LOOK_MS);
        }
    }),
  );
}

/** Also when it does not answer: then it serves nobody under the name. */
async function knows(
  client: ReturnType<Site["rpc"]["connect"]>,
  name: string,
  id: string,
  leftMs: number,
): Promise<boolean> {
  const call = { deadlineMs: Math.max(LOOK_MS, Math.min(VDISK_DEADLINE_MS, leftMs)) };
  try {
    return (await client.unary(VdiskService.showVdisk, { name }, call)).id === id;
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    return code === "PEER_UNREACHABLE" || code === "DEADLINE_EXCEEDED";
  }
}
