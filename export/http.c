/* SPDX-License-Identifier: Apache-2.0 */
#include "export/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "export/gzip.h"
#include "export/otlp.h"
#include "export/retry.h"
#include "shim/clock.h"

/* A collector drops idle connections after 60 s as a rule; an older one of ours is not tried again. */
#define IDLE_CONNECTION_S 55L
#define TRACEPARENT "traceparent: 00-00000000000000000000000000000000-0000000000000000-00"
#define TRACEPARENT_TRACE_ID 16
#define TRACEPARENT_SPAN_ID 49
/* Kinds of trouble (struct delivery): a libcurl code, or these plus a status. */
#define KIND_STATUS 1000
#define KIND_PARTIAL 2000
#define KIND_ANSWER_SIZE 2001
#define KIND_REQUEST_SIZE 2002
#define KIND_COMPRESSION 2003

struct http {
	const struct endpoint *endpoint;
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	struct curl_slist *resolve; /* the fallback of http_pin() */
	char *traceparent;          /* inside headers: rewritten for each request */
	struct gzip *gzip;
	struct buffer packed;
	struct buffer answer;
	char error[CURL_ERROR_SIZE];
	bool pinned;
};

static size_t on_answer(char *bytes, size_t size, size_t n, void *arg)
{
	struct http *http = arg;

	buffer_put(&http->answer, bytes, size * n);
	return http->answer.full ? 0 : n * size;
}

static bool add_header(struct http *http, const char *text)
{
	struct curl_slist *list = curl_slist_append(http->headers, text);

	if (list)
		http->headers = list;
	return list != NULL;
}

static bool add_headers(struct http *http)
{
	const struct endpoint *endpoint = http->endpoint;
	bool done = add_header(http, TRACEPARENT);

	if (done)
		http->traceparent = http->headers->data;
	done = done && add_header(http, "Content-Type: application/x-protobuf") && add_header(http, "Expect:") &&
	       (!endpoint->gzip || add_header(http, "Content-Encoding: gzip"));
	for (unsigned i = 0; done && i < endpoint->n_headers; i++)
		done = add_header(http, endpoint->headers[i]);
	return done;
}

static void set_blob(CURL *easy, CURLoption option, const struct buffer *from)
{
	struct curl_blob blob = {from->data, from->len, CURL_BLOB_NOCOPY};

	if (from->len)
		curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct endpoint *endpoint)
{
	set_blob(easy, CURLOPT_CAINFO_BLOB, &endpoint->ca);
	set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, &endpoint->ca);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, &endpoint->certificate);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, &endpoint->key);
}

static void set_options(struct http *http)
{
	const struct endpoint *endpoint = http->endpoint;
	CURL *easy = http->easy;

	curl_easy_setopt(easy, CURLOPT_URL, endpoint->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT,
			 "interspan/" INTERSPAN_VERSION " OTel-OTLP-Exporter-C/" INTERSPAN_VERSION);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, endpoint->proxy);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, endpoint->no_proxy);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
			 endpoint->timeout_ms < INT32_MAX ? (long)endpoint->timeout_ms : (long)INT32_MAX);
	set_tls(easy, endpoint);
}

struct http *http_open(const struct endpoint *endpoint)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->endpoint = endpoint;
	http->packed = BUFFER(HTTP_MAX_REQUEST);
	http->answer = BUFFER(HTTP_MAX_RESPONSE);
	http->multi = curl_multi_init();
	http->easy = curl_easy_init();
	if (endpoint->gzip)
		http->gzip = gzip_open();
	if (!http->multi || !http->easy || (endpoint->gzip && !http->gzip) || !add_headers(http)) {
		http_close(http);
		return NULL;
	}
	set_options(http);
	return http;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->easy);
	curl_multi_cleanup(http->multi);
	curl_slist_free_all(http->headers);
	curl_slist_free_all(http->resolve);
	gzip_close(http->gzip);
	buffer_free(&http->packed);
	buffer_free(&http->answer);
	free(http);
}

static bool is_address(const char *host)
{
	uint8_t address[16];

	return host[0] == '[' || inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

char *http_resolve(const struct endpoint *endpoint)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	struct buffer text = BUFFER(4096);
	char one[INET6_ADDRSTRLEN + 2];

	/* libcurl knows localhost by itself. */
	if (is_address(endpoint->host) || strcasecmp(endpoint->host, "localhost") == 0 || endpoint->proxy[0] ||
	    getaddrinfo(endpoint->host, NULL, &hints, &found) != 0)
		return NULL;
	buffer_put(&text, endpoint->host, strlen(endpoint->host));
	buffer_put(&text, one, (size_t)snprintf(one, sizeof(one), ":%u:", endpoint->port));
	for (struct addrinfo *a = found; a; a = a->ai_next) {
		bool six = a->ai_family == AF_INET6;

		if (getnameinfo(a->ai_addr, a->ai_addrlen, one, sizeof(one) - 2, NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		buffer_put(&text, six ? "[" : "", six);
		buffer_put(&text, one, strlen(one));
		buffer_put(&text, six ? "]," : ",", six ? 2 : 1);
	}
	freeaddrinfo(found);
	if (!text.full && text.data[text.len - 1] == ',')
		text.data[text.len - 1] = '\0';
	else
		buffer_free(&text);
	return (char *)text.data;
}

void http_pin(struct http *http, const char *resolved)
{
	if (resolved && !http->resolve)
		http->resolve = curl_slist_append(NULL, resolved);
}

/* Random ids, sampled flag 0: nobody who sees our request go by need trace it. */
static void renew_traceparent(struct http *http)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t random[24];

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		for (size_t i = 0; i < sizeof(random); i++)
			random[i] = (uint8_t)((clock_monotonic_ns() >> i) | 1);
	for (size_t i = 0; i < sizeof(random); i++) {
		char *at = http->traceparent + (i < 16 ? TRACEPARENT_TRACE_ID + 2 * i
						       : TRACEPARENT_SPAN_ID + 2 * (i - 16));

		at[0] = digits[random[i] >> 4];
		at[1] = digits[random[i] & 15];
	}
	http->traceparent[TRACEPARENT_TRACE_ID] = '1'; /* never all zeros */
	http->traceparent[TRACEPARENT_SPAN_ID] = '1';
}

/* Run the transfer to its end. False: patience ran out. */
static bool transfer(struct http *http, struct patience patience, CURLcode *ret)
{
	uint64_t start = clock_monotonic_ns();
	int running = 1, left;
	CURLMsg *message;

	*ret = CURLE_OUT_OF_MEMORY;
	if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
		return true;
	while (curl_multi_perform(http->multi, &running) == CURLM_OK && running) {
		if (!patience.wait_on(patience.arg, (clock_monotonic_ns() - start) / 1000000) ||
		    curl_multi_poll(http->multi, NULL, 0, DELIVERY_SLICE_MS, NULL) != CURLM_OK)
			break;
	}
	while ((message = curl_multi_info_read(http->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			*ret = message->data.result;
	curl_multi_remove_handle(http->multi, http->easy);
	return !running;
}

static bool is_transient(CURLcode code)
{
	switch (code) {
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_NOT_BUILT_IN:
		return false;
	default:
		return true;
	}
}

static void judge_failure(const struct http *http, CURLcode code, struct delivery *ret)
{
	ret->kind = (int)code;
	if (http->answer.full) {
		ret->outcome = DELIVERY_REFUSED;
		ret->kind = KIND_ANSWER_SIZE;
		snprintf(ret->reason, sizeof(ret->reason), "the collector's answer is larger than %u bytes",
			 HTTP_MAX_RESPONSE);
		return;
	}
	ret->outcome = is_transient(code) ? DELIVERY_RETRY : DELIVERY_REFUSED;
	snprintf(ret->reason, sizeof(ret->reason), "the collector cannot be reached: %.200s",
		 http->error[0] ? http->error : curl_easy_strerror(code));
}

static uint32_t asked_to_wait(CURL *easy)
{
	curl_off_t seconds = 0;

	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds <= 0)
		return 0;
	return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : (uint32_t)seconds * 1000;
}

static void judge_answer(const struct http *http, struct delivery *ret)
{
	struct otlp_answer answer;
	const char *type = NULL;
	long status = 0;

	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type);
	ret->outcome = retry_classify(status);
	otlp_read_answer(&answer, http->answer.data, http->answer.len,
			 ret->outcome == DELIVERY_ACCEPTED ? OTLP_ANSWER_SUCCESS
			 : type && strncasecmp(type, "application/x-protobuf", 22) == 0 ? OTLP_ANSWER_FAILURE
											: OTLP_ANSWER_TEXT);
	if (ret->outcome == DELIVERY_ACCEPTED) {
		ret->rejected = answer.rejected;
		ret->kind = answer.rejected || answer.message[0] ? KIND_PARTIAL : 0;
		if (ret->kind)
			snprintf(ret->reason, sizeof(ret->reason), "the collector rejected %llu of the spans%s%s",
				 (unsigned long long)answer.rejected, answer.message[0] ? ": " : "", answer.message);
		return;
	}
	if (ret->outcome == DELIVERY_RETRY)
		ret->retry_after_ms = asked_to_wait(http->easy);
	ret->kind = KIND_STATUS + (int)status;
	snprintf(ret->reason, sizeof(ret->reason), "the collector answered %ld%s%s", status,
		 answer.message[0] ? ": " : "", answer.message);
}

static void attempt(struct http *http, struct patience patience, struct delivery *ret)
{
	CURLcode code;

	buffer_reset(&http->answer);
	http->error[0] = '\0';
	renew_traceparent(http);
	if (!transfer(http, patience, &code))
		ret->outcome = DELIVERY_STOPPED;
	else if (code == CURLE_OK)
		judge_answer(http, ret);
	else
		judge_failure(http, code, ret);
}

/* Too big, or no memory to compress in: no attempt is made. */
static bool prepare_body(struct http *http, const uint8_t **body, size_t *len, struct delivery *ret)
{
	if (*len > HTTP_MAX_REQUEST) {
		*ret = (struct delivery){.outcome = DELIVERY_REFUSED, .kind = KIND_REQUEST_SIZE};
		snprintf(ret->reason, sizeof(ret->reason), "a request of %zu bytes is too large to send", *len);
		return false;
	}
	if (!http->gzip)
		return true;
	buffer_reset(&http->packed);
	if (!gzip_pack(http->gzip, &http->packed, *body, *len)) {
		*ret = (struct delivery){.outcome = DELIVERY_RETRY, .kind = KIND_COMPRESSION};
		snprintf(ret->reason, sizeof(ret->reason), "a request cannot be compressed");
		return false;
	}
	*body = http->packed.data;
	*len = http->packed.len;
	return true;
}

void http_post(struct http *http, const uint8_t *body, size_t len, struct patience patience, struct delivery *ret)
{
	*ret = (struct delivery){.outcome = DELIVERY_RETRY};
	if (!prepare_body(http, &body, &len, ret))
		return;
	curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, body);
	attempt(http, patience, ret);
	if (ret->kind == CURLE_COULDNT_RESOLVE_HOST && http->resolve && !http->pinned) {
		http->pinned = true;
		curl_easy_setopt(http->easy, CURLOPT_RESOLVE, http->resolve);
		*ret = (struct delivery){.outcome = DELIVERY_RETRY};
		attempt(http, patience, ret);
	}
}
