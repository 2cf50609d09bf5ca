/** The configuration of the embedded server's process: a JSON file whose unknown keys are errors. */

import { checkedJson } from "../base/checkedJson.ts";
import { type ConfigLogLevel, logLevels } from "../base/siteConfig.ts";
import type { Address } from "../platform/net.ts";

export interface EtcdConfig {
  readonly listen: Address;
  /** Absolute path; the log lies directly in it. */
  readonly dataFolder: string;
  readonly logLevel: ConfigLogLevel;
}

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key
 */
export function parseEtcdConfig(value: unknown): EtcdConfig {
  const file = checkedJson(value, "etcd's configuration");
  const { listen, dataFolder, logLevel } = file.object(["listen", "dataFolder"], ["logLevel"]);
  return Object.freeze({
    listen: listen.address(0),
    dataFolder: dataFolder.absolutePath(),
    logLevel: logLevel.optional((level) => level.oneOf(logLevels)) ?? "info",
  });
}
