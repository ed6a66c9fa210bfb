/**
 * The header in front of every packet read from or written to the TUN device (struct virtio_net_hdr, 10 bytes, in
 * host byte order: little-endian on every machine portal runs on). Linux include/uapi/linux/virtio_net.h.
 *
 *   0 flags   1 gso_type   2 hdr_len (2)   4 gso_size (2)   6 csum_start (2)   8 csum_offset (2)
 */
export const VIRTIO_BYTES = 10;

/** The checksum from csum_start on is still to be made; the field holds the pseudo-header sum. */
export const FLAG_NEEDS_CSUM = 1;
/** The kernel has seen the checksum to be right. */
export const FLAG_DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Or-ed into a TCP type: the first segment carries CWR. */
export const GSO_ECN = 0x80;
