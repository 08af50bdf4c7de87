/* Ways to send what must not leave, below libc or with a TLS library of one's own: live_bypass tls|uring|syscall PORT BODY.
 * Waits for a line; prints the status of the answer, or 0. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return result;
}

/* One IORING_OP_SEND, waited for. */
static int by_ring(int s, const void *data, unsigned size)
{
	struct io_uring_params p = {0};
	int ring = syscall(SYS_io_uring_setup, 4, &p);
	if (ring < 0)
		return 1;
	char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || e == MAP_FAILED)
		return 1;
	*e = (struct io_uring_sqe){.opcode = IORING_OP_SEND, .fd = s, .addr = (unsigned long)data, .len = size};
	((unsigned *)(sq + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1;
}

int main(int argc, char **argv)
{
	static char buffer[65536], answer[65536];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(0x7f000001)};
	int s = socket(AF_INET, SOCK_STREAM, 0), failed = 1, got = 0;
	struct timeval most = {.tv_sec = 10};
	if (argc != 4 || !fgets(buffer, sizeof buffer, stdin))
		return 2;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
	if (connect(s, (void *)&to, sizeof to))
		return 2;
	int n = snprintf(buffer, sizeof buffer,
			 "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-number: 1\r\ncontent-type: application/json\r\n"
			 "content-length: %zu\r\n\r\n%s", strlen(argv[3]), argv[3]);
	if (!strcmp(argv[1], "uring"))
		failed = by_ring(s, buffer, n);
	else if (!strcmp(argv[1], "syscall"))
		failed = raw(SYS_sendto, s, (long)buffer, n, 0, 0, 0) != n;
#ifdef WITH_TLS
	else {
		SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
		if (!SSL_set_fd(ssl, s) || SSL_connect(ssl) != 1)
			return 2;
		failed = SSL_write(ssl, buffer, n) != n;
		if (!failed)
			got = SSL_read(ssl, answer, sizeof answer - 1);
	}
#endif
	if (!failed && !got)
		got = recv(s, answer, sizeof answer - 1, 0);
	printf("%d\n", got > 12 ? atoi(answer + 9) : 0);
	return 0;
}
