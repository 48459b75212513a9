// What a new interface must not say by itself.
#pragma once

namespace wgring::tun {

// As the kernel's module makes its own: no IPv6 address that nobody gave it, hence no router
// solicitation by which an idle tunnel would begin to speak; and no ICMP redirects, for the peers
// behind it are on no common wire. Who sets redirects on for all interfaces has them here too.
// A kernel that refuses, or has no IPv6, is let be. Needs CAP_NET_ADMIN.
void teach_link_manners(const char* name) noexcept;

}  // namespace wgring::tun
