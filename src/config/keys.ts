/** Every section and key that a configuration file may have, with what a value looks like. Pure. */

export type SectionName =
  | ""
  | "tunnel"
  | "keys"
  | "remote"
  | "path"
  | "listen"
  | "peer"
  | "host"
  | "forward"
  | "handover";

export interface Section {
  /** Each key and an example of its value, as advice shows it. */
  readonly keys: Readonly<Record<string, string>>;
  /** Which portal has it. */
  readonly role: "local" | "remote" | "both";
  /** True for `[[name]]`, which may stand several times; "either" where one may also be `[name]`. */
  readonly repeated: boolean | "either";
}

const presharedKeys = {
  preshared_key: '"(44 characters)"',
  preshared_key_file: '"/etc/portal/preshared.key"',
};

/** "" is the top of the file. */
export const SECTIONS: Readonly<Record<SectionName, Section>> = {
  "": {
    keys: {
      role: '"local"',
      secret: '"(the same long random text on both portals)"',
      log_level: '"info"',
      control_socket: '"/run/portal/portal0.sock"',
      state_directory: '"/var/lib/portal"',
      threads: "2",
    },
    role: "both",
    repeated: false,
  },
  tunnel: {
    keys: {
      interface: '"portal0"',
      addresses: '["10.77.0.2/24"]',
      mtu: "1420",
      privacy: "true",
      cipher: '"auto"',
      offloads: "true",
      keep_seconds: "300",
    },
    role: "both",
    repeated: false,
  },
  keys: {
    keys: { private_key: '"(44 characters)"', private_key_file: '"/etc/portal/private.key"' },
    role: "both",
    repeated: false,
  },
  remote: {
    keys: {
      endpoint: '"portal.example.org:51900"',
      public_key: '"(44 characters)"',
      ...presharedKeys,
      return_seconds: "60",
    },
    role: "local",
    repeated: "either",
  },
  path: {
    keys: {
      interface: '"eth0"',
      exclude: '["wwan9"]',
      metric: "0",
      spill: "true",
      congestion: '"bbr"',
      up: '"10 Mbit"',
      down: '"50 Mbit"',
      cap_month: '"50 GB"',
      cap_day: '"2 GB"',
      cap_reset_day: "1",
      cap_time_zone: '"Europe/Berlin"',
      over_cap: '"off"',
    },
    role: "local",
    repeated: true,
  },
  listen: {
    keys: { addresses: '["0.0.0.0", "::"]', port: "51900", pool: '["10.77.0.0/24", "fd77::/64"]' },
    role: "remote",
    repeated: false,
  },
  peer: {
    keys: {
      name: '"home"',
      public_key: '"(44 characters)"',
      ...presharedKeys,
      addresses: '["10.77.0.2/32"]',
    },
    role: "remote",
    repeated: true,
  },
  host: {
    keys: {
      routes: '"default"',
      on_down: '"block"',
      forwarding: "true",
      nat: "true",
      clamp_mss: "true",
      loose_rp_filter: "true",
    },
    role: "both",
    repeated: false,
  },
  forward: {
    keys: { protocol: '"tcp"', port: "443", to: '"10.77.0.2:443"' },
    role: "remote",
    repeated: true,
  },
  handover: {
    keys: { address: '"203.0.113.7"', inside: '"10.77.0.9"', interface: '"eth1"', keep: '["22/tcp"]' },
    role: "both",
    repeated: true,
  },
};

export const SECTION_NAMES = Object.keys(SECTIONS).filter((name) => name !== "") as SectionName[];

export const EVERY_KEY: readonly string[] = [
  ...new Set(Object.values(SECTIONS).flatMap((section) => Object.keys(section.keys))),
];

/** Keys whose values nobody else may see. */
export const CONFIDENTIAL_KEYS: readonly string[] = ["secret", "private_key", "preshared_key"];

/** As it stands in a file: `[tunnel]`, `[[path]]`. */
export function headerOf(name: SectionName): string {
  return SECTIONS[name].repeated === true ? `[[${name}]]` : `[${name}]`;
}

/** `in [tunnel]`, or `at the top of the file`. */
export function placeOf(name: SectionName): string {
  return name === "" ? "at the top of the file" : `in ${headerOf(name)}`;
}
