/** What other rooms may use of Stargate: starting one over ports, as the simulator does. */

export { type Stargate, type StargatePorts, startStargate } from "./stargate.ts";
