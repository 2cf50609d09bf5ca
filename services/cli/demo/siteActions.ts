/** What a drill asks of a site: short names for the calls it makes, each safe to repeat. */

import { AntipodeError } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import type { Infer } from "../../base/wire.ts";
import type { NbdTarget } from "../../guest/index.ts";
import { callGenesis, type OpenLab, type SitePlan } from "../../lab/index.ts";
import {
  type ActivateResponse,
  CerebroService,
  type Job,
  type RecoveryPoint,
} from "../../platform/wire/cerebro.ts";
import { GenesisService } from "../../platform/wire/genesis.ts";
import { type VdiskMessage, VdiskService } from "../../platform/wire/stargate.ts";
import type { Context } from "../command.ts";
import { callSite, newRequestId, siteOf } from "../siteClient.ts";

const SNAPSHOT_MS = 120_000;
const ACTIVATE_MS = 60_000;
const SHORT_MS = 10_000;
const JOB_POLL_MS = 100;
const cerebro = { service: "cerebro" } as const;
const stargate = { service: "stargate" } as const;

/** The calls of a drill at one lab. */
export class SiteActions {
  readonly #context: Context;
  readonly #open: OpenLab;

  constructor(context: Context, open: OpenLab) {
    this.#context = context;
    this.#open = open;
  }

  site(name: string): SitePlan {
    return siteOf(this.#open, name);
  }

  /** Addresses of an export at a site, the owner's first. */
  async targets(site: string, vdisk: string, exportName = vdisk): Promise<readonly NbdTarget[]> {
    const plan = this.site(site);
    const { owner } = await callSite(this.#context, plan, stargate, VdiskService.showVdisk, {
      name: vdisk,
    });
    const others = plan.cvms.filter((cvm) => cvm.cvm !== owner);
    return [...plan.cvms.filter((cvm) => cvm.cvm === owner), ...others].map((cvm) => ({
      address: cvm.nbd,
      exportName,
    }));
  }

  /** As its owner sees it: only the owner knows how far the log goes. */
  async vdiskAtOwner(site: string, name: string): Promise<Infer<typeof VdiskMessage>> {
    const plan = this.site(site);
    const seen = await callSite(this.#context, plan, stargate, VdiskService.showVdisk, { name });
    const cvm = plan.cvms.find((one) => one.cvm === seen.owner);
    if (cvm === undefined)
      throw new AntipodeError("CVM_NOT_FOUND", `${site} has no CVM ${seen.owner}`);
    const client = this.#context.world.rpc.connect(cvm.stargate);
    return client.unary(VdiskService.showVdisk, { name }, { deadlineMs: SHORT_MS });
  }

  async createVdisk(site: string, name: string, sizeBytes: number): Promise<void> {
    const request = { name, container: "default", sizeBytes, root: "", source: "" };
    const tries = { mayExist: false };
    const onAmbiguous = (): void => {
      tries.mayExist = true;
    };
    const plan = { ...stargate, onAmbiguous };
    try {
      await callSite(this.#context, this.site(site), plan, VdiskService.createVdisk, request);
    } catch (error) {
      // The first try was carried out although its answer was lost.
      if (!(tries.mayExist && error instanceof AntipodeError && error.code === "VDISK_EXISTS"))
        throw error;
    }
  }

  async createPd(site: string, name: string, vdisks: readonly string[]): Promise<void> {
    const requestId = newRequestId(this.#context);
    await callSite(this.#context, this.site(site), cerebro, CerebroService.createPd, {
      name,
      requestId,
    });
    const request = { pd: name, group: "", vdisks };
    await callSite(this.#context, this.site(site), cerebro, CerebroService.protect, request);
  }

  async snapshot(site: string, pd: string): Promise<RecoveryPoint> {
    const request = { pd, name: "", requestId: newRequestId(this.#context) };
    const plan = { ...cerebro, deadlineMs: SNAPSHOT_MS };
    const { recoveryPoint } = await callSite(
      this.#context,
      this.site(site),
      plan,
      CerebroService.snapshot,
      request,
    );
    return there(recoveryPoint);
  }

  async startReplication(site: string, pd: string, point: string, remote: string): Promise<Job> {
    const request = { pd, recoveryPoint: point, remote, requestId: newRequestId(this.#context) };
    const { job } = await callSite(
      this.#context,
      this.site(site),
      cerebro,
      CerebroService.replicate,
      request,
    );
    return there(job);
  }

  async job(site: string, id: string): Promise<Job> {
    const { job } = await callSite(
      this.#context,
      this.site(site),
      cerebro,
      CerebroService.showJob,
      { id },
    );
    return there(job);
  }

  /** The job when it has ended, or as it is when the patience is over. */
  async endedJob(site: string, id: string, patienceMs = Number.POSITIVE_INFINITY): Promise<Job> {
    const { world, signal } = this.#context;
    const untilMs = world.clock.now() + patienceMs;
    for (;;) {
      const job = await this.job(site, id);
      if (isEnded(job.state) || world.clock.now() > untilMs) return job;
      await world.clock.sleep(JOB_POLL_MS, signal);
    }
  }

  async recoveryPoint(site: string, pd: string, recoveryPoint: string): Promise<RecoveryPoint> {
    const request = { pd, recoveryPoint };
    const answer = await callSite(
      this.#context,
      this.site(site),
      cerebro,
      CerebroService.showRecoveryPoint,
      request,
    );
    return there(answer.recoveryPoint);
  }

  /** @returns names of the vDisks that it made */
  async activate(site: string, pd: string, recoveryPoint: string): Promise<readonly string[]> {
    const { vdisks } = await this.activation(site, pd, recoveryPoint);
    return vdisks.map((vdisk) => vdisk.vdiskName);
  }

  async activation(
    site: string,
    pd: string,
    recoveryPoint: string,
  ): Promise<Infer<typeof ActivateResponse>> {
    const request = { pd, recoveryPoint, force: true, requestId: newRequestId(this.#context) };
    const plan = { ...cerebro, deadlineMs: ACTIVATE_MS };
    return callSite(this.#context, this.site(site), plan, CerebroService.activate, request);
  }

  /** The leader by the site's own word: CVM 0 when there is none at the moment. */
  async leader(site: string): Promise<{ readonly cvm: number; readonly epoch: number }> {
    return callSite(this.#context, this.site(site), cerebro, CerebroService.leader, {});
  }

  /** kill -9 of services, all at once. @returns how many processes got the signal */
  async kill(ids: readonly string[], stayDead: boolean): Promise<number> {
    const request = { ids, signal: "SIGKILL" as const, stayDead };
    const { world } = this.#context;
    const { services } = await callGenesis(world, this.#open, GenesisService.kill, request);
    return services.filter((service) => service.pid > 0).length;
  }

  /** Ids of every service of a site, its etcd included. */
  async servicesOf(site: string): Promise<readonly string[]> {
    const { world } = this.#context;
    const { services } = await callGenesis(world, this.#open, GenesisService.list, {});
    return services.filter((service) => service.site === site).map((service) => service.id);
  }
}

function there<T>(value: T | undefined): T {
  if (value === undefined)
    throw new AntipodeError("MESSAGE_INVALID", "the answer lacks its content");
  return value;
}
