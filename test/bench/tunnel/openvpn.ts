/** OpenVPN in TLS mode, AES-256-GCM, outside of the kernel (no data channel offload). */
import { SIDES } from "../../../src/lab/portals.ts";
import { INTERFACES, must, outerAddress, PORT, TUNNEL_ADDRESSES, type Tunnel } from "./tunnel.ts";

export const openvpn: Tunnel = {
  name: "openvpn",
  programs: ["openvpn", "openssl"],
  start: async (lab, directory) => {
    const prints = { local: "", remote: "" };
    for (const side of SIDES) {
      const files = ["-keyout", `${directory}/${side}.key`, "-out", `${directory}/${side}.pem`];
      const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
      await must(["openssl", "req", "-x509", "-days", "2", "-subj", `/CN=${side}`, ...kind, ...files]);
      const print = await must([
        "openssl",
        "x509",
        "-in",
        `${directory}/${side}.pem`,
        "-noout",
        "-fingerprint",
        "-sha256",
      ]);
      prints[side] = print.stdout.trim().split("=")[1]!;
    }
    return SIDES.map((side) => {
      const peer = side === "local" ? "remote" : "local";
      const words = ["--dev", INTERFACES[side], "--dev-type", "tun", "--topology", "p2p", "--disable-dco"];
      words.push("--proto", "udp4", "--local", outerAddress(side), "--port", String(PORT));
      words.push(
        "--remote",
        outerAddress(peer),
        String(PORT),
        side === "local" ? "--tls-client" : "--tls-server",
      );
      words.push("--ifconfig", TUNNEL_ADDRESSES[side], TUNNEL_ADDRESSES[peer], "--dh", "none");
      words.push("--cert", `${directory}/${side}.pem`, "--key", `${directory}/${side}.key`);
      words.push("--peer-fingerprint", prints[peer], "--data-ciphers", "AES-256-GCM", "--verb", "1");
      return lab.spawn(side, ["openvpn", ...words], `openvpn of the ${side}`);
    });
  },
};
