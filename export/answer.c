/* SPDX-License-Identifier: Apache-2.0 */
#include "export/otlp.h"

#include "otlp.pb-c.h"

/* What a stranger wrote, made fit for a log line. */
static void set_message(struct otlp_answer *ret, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < sizeof(ret->message); i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c < 0x7f)
			ret->message[n++] = (char)c;
		else if (n && ret->message[n - 1] != ' ')
			ret->message[n++] = ' ';
	}
	while (n && ret->message[n - 1] == ' ')
		n--;
	ret->message[n] = '\0';
}

static void read_success(struct otlp_answer *ret, const uint8_t *body, size_t len)
{
	Interspan__Otlp__ExportServiceResponse *response =
	    interspan__otlp__export_service_response__unpack(NULL, len, body);
	const Interspan__Otlp__ExportPartialSuccess *partial = response ? response->partial_success : NULL;

	if (partial) {
		ret->rejected = partial->rejected > 0 ? (uint64_t)partial->rejected : 0;
		set_message(ret, partial->error_message, strlen(partial->error_message));
	}
	if (response)
		interspan__otlp__export_service_response__free_unpacked(response, NULL);
}

static void read_failure(struct otlp_answer *ret, const uint8_t *body, size_t len)
{
	Interspan__Otlp__RpcStatus *status = interspan__otlp__rpc_status__unpack(NULL, len, body);

	if (!status)
		return;
	set_message(ret, status->message, strlen(status->message));
	interspan__otlp__rpc_status__free_unpacked(status, NULL);
}

void otlp_read_answer(struct otlp_answer *ret, const uint8_t *body, size_t len, enum otlp_answer_form form)
{
	ret->rejected = 0;
	ret->message[0] = '\0';
	if (len == 0)
		return;
	if (form == OTLP_ANSWER_SUCCESS)
		read_success(ret, body, len);
	else if (form == OTLP_ANSWER_FAILURE)
		read_failure(ret, body, len);
	else
		set_message(ret, (const char *)body, len);
}
