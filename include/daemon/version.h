/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_VERSION_H
#define DAEMON_VERSION_H

#define WEIR_VERSION	"0.2"

#endif
