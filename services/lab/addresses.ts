/**
 * Which address every process of a lab has. Pure: from the shape and a place to the whole plan.
 *
 * On Linux all of 127.0.0.0/8 is this machine, so that every CVM has an address of its own and the
 * product's ports: CVM k of a site with octet o is 127.o.0.k, its etcd 127.o.0.100; the site sees CVM
 * k of the site with index i, through the link, at 127.o.(100+i).k. Elsewhere (macOS) everything is
 * at 127.0.0.1, with ports counted up from a base.
 */

import { present } from "../base/assert.ts";
import type { Address } from "../platform/net.ts";
import type { LabShape, SiteShape } from "./shape.ts";

/** The product's ports; etcd's is its own default. */
const ports = {
  stargate: 2009,
  cerebro: 2020,
  genesis: 2100,
  wan: 2110,
  etcd: 2379,
  etcdPeer: 2380,
  nbd: 10_809,
} as const;

/** Where a lab lies: one octet a site, or a range of ports. */
export type Place =
  | { readonly kind: "loopback"; readonly octets: readonly number[] }
  | { readonly kind: "shifted"; readonly basePort: number };

export interface CvmPlan {
  readonly cvm: number;
  readonly stargate: Address;
  readonly nbd: Address;
  readonly cerebro: Address;
}

/** A CVM of another site as a site sees it: addresses of the link. */
export interface PassagePlan {
  readonly cvm: number;
  readonly stargate: Address;
  readonly cerebro: Address;
}

export interface RemotePlan {
  readonly site: string;
  readonly cvms: readonly PassagePlan[];
}

export interface SitePlan {
  readonly name: string;
  readonly etcd: Address;
  readonly etcdPeer: Address;
  readonly cvms: readonly CvmPlan[];
  readonly remotes: readonly RemotePlan[];
}

export interface LabPlan {
  readonly genesis: Address;
  readonly wan: Address;
  readonly sites: readonly SitePlan[];
}

const ETCD_HOST = 100;
const GENESIS_HOST = 200;
const WAN_HOST = 201;
const PASSAGE_NET = 100;

/** Counts of CVMs from 1. */
const cvmsOf = (site: SiteShape): readonly number[] =>
  Array.from({ length: site.cvms }, (_, index) => index + 1);

/** The addresses of a lab of this shape at this place. */
export function planAddresses(shape: Pick<LabShape, "sites">, place: Place): LabPlan {
  switch (place.kind) {
    case "loopback":
      return planLoopback(shape, place.octets);
    case "shifted":
      return planShifted(shape, place.basePort);
  }
}

function planLoopback(shape: Pick<LabShape, "sites">, octets: readonly number[]): LabPlan {
  const octetOf = (index: number): number => present(octets[index], "every site has an octet");
  const sites = shape.sites.map((site, index): SitePlan => {
    const net = `127.${octetOf(index)}`;
    return {
      name: site.name,
      etcd: { host: `${net}.0.${ETCD_HOST}`, port: ports.etcd },
      etcdPeer: { host: `${net}.0.${ETCD_HOST}`, port: ports.etcdPeer },
      cvms: cvmsOf(site).map((cvm) => {
        const host = `${net}.0.${cvm}`;
        return {
          cvm,
          stargate: { host, port: ports.stargate },
          nbd: { host, port: ports.nbd },
          cerebro: { host, port: ports.cerebro },
        };
      }),
      remotes: shape.sites.flatMap((other, otherIndex) =>
        otherIndex === index
          ? []
          : [
              {
                site: other.name,
                cvms: cvmsOf(other).map((cvm) => {
                  const host = `${net}.${PASSAGE_NET + otherIndex}.${cvm}`;
                  return {
                    cvm,
                    stargate: { host, port: ports.stargate },
                    cerebro: { host, port: ports.cerebro },
                  };
                }),
              },
            ],
      ),
    };
  });
  const first = `127.${octetOf(0)}.0`;
  return {
    genesis: { host: `${first}.${GENESIS_HOST}`, port: ports.genesis },
    wan: { host: `${first}.${WAN_HOST}`, port: ports.wan },
    sites,
  };
}

function planShifted(shape: Pick<LabShape, "sites">, basePort: number): LabPlan {
  let next = basePort;
  const take = (): Address => ({ host: "127.0.0.1", port: next++ });
  const genesis = take();
  const wan = take();
  const sites = shape.sites.map(
    (site): SitePlan => ({
      name: site.name,
      etcd: take(),
      etcdPeer: take(),
      cvms: cvmsOf(site).map((cvm) => ({ cvm, stargate: take(), nbd: take(), cerebro: take() })),
      remotes: shape.sites
        .filter((other) => other !== site)
        .map((other) => ({
          site: other.name,
          cvms: cvmsOf(other).map((cvm) => ({ cvm, stargate: take(), cerebro: take() })),
        })),
    }),
  );
  return { genesis, wan, sites };
}

/** Every address at which a process of the lab listens. */
export function listeningAddresses(plan: LabPlan): readonly Address[] {
  return [
    plan.genesis,
    plan.wan,
    ...plan.sites.flatMap((site) => [
      site.etcd,
      ...site.cvms.flatMap((cvm) => [cvm.stargate, cvm.nbd, cvm.cerebro]),
      ...site.remotes.flatMap((remote) =>
        remote.cvms.flatMap((cvm) => [cvm.stargate, cvm.cerebro]),
      ),
    ]),
  ];
}

/** NBD URI of an export at a front-end. */
export function nbdUri(front: Address, exportName: string): string {
  return `nbd://${front.host}:${front.port}/${exportName}`;
}
