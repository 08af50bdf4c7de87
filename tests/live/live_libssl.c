/* The same as live_libssl.py, linked against whatever it is linked against: PORT PROMPT plain|ex. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	int ex = !strcmp(argv[3], "ex"), s = socket(AF_INET, SOCK_STREAM, 0), ok, n;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(0x7f000001)};
	static char body[65536], buffer[131072];
	size_t got;
	SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
	if (connect(s, (void *)&to, sizeof to) || !SSL_set_fd(ssl, s) || SSL_connect(ssl) != 1)
		return 2;
	snprintf(body, sizeof body, "{\"model\":\"range\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", argv[2]);
	n = snprintf(buffer, sizeof buffer,
		     "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
		     "content-length: %zu\r\n\r\n%s", strlen(body), body);
	if (ex)
		SSL_write_ex(ssl, buffer, n, &got);
	else
		SSL_write(ssl, buffer, n);
	ok = ex ? SSL_read_ex(ssl, buffer, sizeof buffer, &got) : (int)(got = SSL_read(ssl, buffer, sizeof buffer));
	if (ok > 0)
		fwrite(buffer, 1, got, stdout);
	SSL_free(ssl);
	return ok <= 0;
}
