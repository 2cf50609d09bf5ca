/**
 * Chooses where a lab lies: addresses that no other lab of this user has and at which nobody listens.
 * An address is tried by listening on it for an instant.
 */

import { AntipodeError, codeOf } from "../base/errors.ts";
import type { Address } from "../platform/net.ts";
import { listeningAddresses, type Place, planAddresses } from "./addresses.ts";
import type { KnownLab } from "./registry.ts";
import type { LabShape } from "./shape.ts";
import type { LabWorld } from "./world.ts";

const OCTET_MIN = 10;
const OCTET_MAX = 250;
/** Below the ports that systems give to outgoing connections. */
const BASE_PORT_MIN = 20_000;
const BASE_PORT_MAX = 31_000;
/** An address of 127.0.0.0/8 that only a system with all of it can listen on. */
const PROBE_HOST = "127.77.0.1";

/**
 * A free place. The preferred one is kept when nobody has taken it.
 * @throws AntipodeError `PORT_IN_USE` when nothing is free, with the holder of the last port tried
 */
export async function choosePlace(
  world: LabWorld,
  shape: LabShape,
  others: readonly KnownLab[],
  preferred: Place | undefined,
): Promise<Place> {
  if (preferred !== undefined && (await conflictAt(world, shape, preferred)) === undefined)
    return preferred;
  const hasLoopbackRange = await canListen(world, { host: PROBE_HOST, port: 0 });
  return hasLoopbackRange
    ? chooseOctets(world, shape, others)
    : chooseBasePort(world, shape, others);
}

async function chooseOctets(
  world: LabWorld,
  shape: LabShape,
  others: readonly KnownLab[],
): Promise<Place> {
  const taken = new Set(
    others.flatMap(({ place }) => (place.kind === "loopback" ? place.octets : [])),
  );
  const octets: number[] = [];
  let conflict: AntipodeError | undefined;
  for (let octet = OCTET_MIN; octet <= OCTET_MAX && octets.length < shape.sites.length; octet++) {
    if (taken.has(octet)) continue;
    const site = shape.sites[octets.length];
    if (site === undefined) break;
    // Site by site: the passages' addresses lie in the site's own range, so are tried as a whole.
    const alone = await conflictAt(world, { sites: [site] }, { kind: "loopback", octets: [octet] });
    if (alone === undefined) octets.push(octet);
    else conflict = alone;
  }
  const place: Place = { kind: "loopback", octets };
  if (octets.length < shape.sites.length)
    throw conflict ?? noPlace("every octet of 127.0.0.0/8 belongs to another lab");
  const whole = await conflictAt(world, shape, place);
  if (whole !== undefined) throw whole;
  return place;
}

async function chooseBasePort(
  world: LabWorld,
  shape: LabShape,
  others: readonly KnownLab[],
): Promise<Place> {
  const size = listeningAddresses(planAddresses(shape, { kind: "shifted", basePort: 1024 })).length;
  const stride = Math.max(100, Math.ceil(size / 100) * 100);
  const taken = new Set(
    others.flatMap(({ place }) => (place.kind === "shifted" ? [place.basePort] : [])),
  );
  let conflict: AntipodeError | undefined;
  for (let basePort = BASE_PORT_MIN; basePort + size < BASE_PORT_MAX; basePort += stride) {
    if (taken.has(basePort)) continue;
    const place: Place = { kind: "shifted", basePort };
    conflict = await conflictAt(world, shape, place);
    if (conflict === undefined) return place;
  }
  throw conflict ?? noPlace("every range of ports belongs to another lab");
}

const noPlace = (why: string): AntipodeError => new AntipodeError("PORT_IN_USE", why);

/** The `PORT_IN_USE` of an address of this place that somebody listens on, or `undefined`. */
async function conflictAt(
  world: LabWorld,
  shape: Pick<LabShape, "sites">,
  place: Place,
): Promise<AntipodeError | undefined> {
  for (const address of listeningAddresses(planAddresses(shape, place))) {
    try {
      await tryListening(world, address);
    } catch (error) {
      if (error instanceof AntipodeError && error.code === "PORT_IN_USE") return error;
      throw error;
    }
  }
  return undefined;
}

async function canListen(world: LabWorld, address: Address): Promise<boolean> {
  try {
    await tryListening(world, address);
    return true;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}

async function tryListening(world: LabWorld, address: Address): Promise<void> {
  const listener = await world.net.listen(address, (connection) => {
    connection.destroy();
  });
  await listener.close();
}
