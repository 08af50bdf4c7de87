/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* One object: processes, sockets, TLS libraries, standard input and output, UNIX sockets of databases, other system calls. */
#include "calls.h"

char LICENSE[] SEC("license") = "GPL"; /* what the kernel asks for; LICENSE beside has the whole of it */
