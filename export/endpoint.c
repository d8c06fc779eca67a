/* SPDX-License-Identifier: Apache-2.0 */
#include "export/endpoint.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "export/headers.h"
#include "shim/log.h"

#define DEFAULT_BASE "http://localhost:4318"

/* The value of a setting for traces where it was given, and the general one otherwise. */
static const char *choose(const char *traces, const char *general, enum signal signal)
{
	return signal == SIGNAL_TRACES && traces[0] ? traces : general;
}

static bool url_is_http(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

/* Append the signal's path to the base's. */
static bool extend_path(CURLU *url, enum signal signal)
{
	const char *tail = signal == SIGNAL_TRACES ? "v1/traces" : "v1/metrics";
	char *base = NULL, *path = NULL;
	bool done = false;
	size_t len;

	if (curl_url_get(url, CURLUPART_PATH, &base, 0) != CURLUE_OK)
		return false;
	len = strlen(base);
	if (asprintf(&path, "%s%s%s", base, len && base[len - 1] == '/' ? "" : "/", tail) > 0)
		done = curl_url_set(url, CURLUPART_PATH, path, 0) == CURLUE_OK;
	free(path);
	curl_free(base);
	return done;
}

/* Fill url, host, port, tls from a text. as_given: the text names the signal's own URL. */
static bool set_url(struct endpoint *endpoint, const char *text, bool as_given, enum signal signal)
{
	char *whole = NULL, *host = NULL, *port = NULL;
	CURLU *url = curl_url();
	bool done = false;

	if (url && url_is_http(text) && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
	    (as_given || extend_path(url, signal)) && curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
		endpoint->url = strdup(whole);
		endpoint->host = strdup(host);
		endpoint->port = (uint16_t)atoi(port);
		endpoint->tls = strncasecmp(text, "https:", 6) == 0;
		done = endpoint->url && endpoint->host;
	}
	curl_free(whole);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return done;
}

static int read_url(struct endpoint *endpoint, const struct config *settings, enum signal signal, log_fn *log)
{
	bool own = signal == SIGNAL_TRACES && settings->otlp_traces_endpoint[0];
	const char *text = own ? settings->otlp_traces_endpoint : settings->otlp_endpoint;

	/* Traces went to a place of their own and no base was named: there is no telling where metrics would go. */
	if (signal == SIGNAL_METRICS && settings->otlp_traces_endpoint[0] && strcmp(text, DEFAULT_BASE) == 0)
		return -ENOENT;
	if (set_url(endpoint, text, own, signal))
		return 0;
	log(LOG_WARN, "the OTLP endpoint is not an http or https URL: " DEFAULT_BASE " is used");
	return set_url(endpoint, DEFAULT_BASE, false, signal) ? 0 : -ENOMEM;
}

static void read_protocol(const struct config *settings, enum signal signal, log_fn *log)
{
	const char *protocol = choose(settings->otlp_traces_protocol, settings->otlp_protocol, signal);
	char text[160];

	if (signal != SIGNAL_TRACES || config_is(protocol, "http/protobuf"))
		return;
	snprintf(text, sizeof(text),
		 "OTLP protocol %.40s is not spoken here: http/protobuf is used (port 4318 as a rule)", protocol);
	log(LOG_WARN, text);
}

static void read_file(struct buffer *ret, const char *path, const char *what, log_fn *log)
{
	int fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
	char text[320];
	uint8_t *at;
	ssize_t n = 0;

	*ret = BUFFER(ENDPOINT_MAX_FILE);
	if (!path[0])
		return;
	while (fd >= 0 && (at = buffer_take(ret, 16384)) && (n = read(fd, at, 16384)) > 0)
		ret->len -= 16384 - (size_t)n;
	if (fd < 0 || n < 0 || ret->full) {
		snprintf(text, sizeof(text), "%s %.200s: %s", what, path, ret->full ? "too large" : strerror(errno));
		log(LOG_ERROR, text);
		buffer_reset(ret);
	} else {
		ret->len -= 16384; /* reserved for the read that found the end */
	}
	if (fd >= 0)
		close(fd);
}

static void read_certificates(struct endpoint *endpoint, const struct config *settings, enum signal signal, log_fn *log)
{
	const char *ca = choose(settings->otlp_traces_certificate, settings->otlp_certificate, signal);

	if (!endpoint->tls)
		return;
	if (!ca[0])
		ca = curl_version_info(CURLVERSION_NOW)->cainfo;
	read_file(&endpoint->ca, ca ? ca : "", "trusted CAs", log);
	read_file(&endpoint->certificate,
		  choose(settings->otlp_traces_client_certificate, settings->otlp_client_certificate, signal),
		  "client certificate", log);
	read_file(&endpoint->key, choose(settings->otlp_traces_client_key, settings->otlp_client_key, signal),
		  "client key", log);
}

static void read_compression(struct endpoint *endpoint, const struct config *settings, enum signal signal, log_fn *log)
{
	const char *value = choose(settings->otlp_traces_compression, settings->otlp_compression, signal);

	endpoint->gzip = config_is(value, "gzip");
	if (!endpoint->gzip && !config_is(value, "none") && signal == SIGNAL_TRACES)
		log(LOG_WARN, "OTLP compression: neither gzip nor none; none is used");
}

/*
 * The usual proxy variables, read once: libcurl would look into the environment at each request, and a program may be
 * changing it at that moment. http_proxy counts in lower case only (CVE-2016-5385: HTTP_PROXY may be a request header).
 */
static void read_proxy(struct endpoint *endpoint)
{
	const char *proxy = getenv(endpoint->tls ? "https_proxy" : "http_proxy");
	const char *no_proxy = getenv("no_proxy");

	if (!proxy && endpoint->tls)
		proxy = getenv("HTTPS_PROXY");
	if (!proxy)
		proxy = getenv("all_proxy");
	if (!proxy)
		proxy = getenv("ALL_PROXY");
	if (!no_proxy)
		no_proxy = getenv("NO_PROXY");
	endpoint->proxy = strdup(proxy ? proxy : "");
	endpoint->no_proxy = strdup(no_proxy ? no_proxy : "");
}

int endpoint_read(struct endpoint *ret, const struct config *settings, enum signal signal, log_fn *log)
{
	int64_t timeout = settings->otlp_timeout_ms;
	int error;

	memset(ret, 0, sizeof(*ret));
	error = read_url(ret, settings, signal, log);
	if (error) {
		endpoint_free(ret);
		return error;
	}
	if (signal == SIGNAL_TRACES && settings->otlp_traces_timeout_ms >= 0)
		timeout = settings->otlp_traces_timeout_ms;
	ret->timeout_ms = timeout > 0 ? (uint64_t)timeout : 0;
	read_protocol(settings, signal, log);
	read_compression(ret, settings, signal, log);
	read_certificates(ret, settings, signal, log);
	read_proxy(ret);
	ret->n_headers = headers_read(ret->headers, ENDPOINT_MAX_HEADERS,
				      choose(settings->otlp_traces_headers, settings->otlp_headers, signal), log);
	return 0;
}

void endpoint_free(struct endpoint *endpoint)
{
	for (unsigned i = 0; i < endpoint->n_headers; i++)
		free(endpoint->headers[i]);
	free(endpoint->url);
	free(endpoint->host);
	free(endpoint->proxy);
	free(endpoint->no_proxy);
	buffer_free(&endpoint->ca);
	buffer_free(&endpoint->certificate);
	buffer_free(&endpoint->key);
	memset(endpoint, 0, sizeof(*endpoint));
}
