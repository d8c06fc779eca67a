#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
body=$(curl -s -H "X-Truth: $HTTP_X_TRUTH" "http://127.0.0.1:$BACKEND_PORT/first" "http://127.0.0.1:$BACKEND_PORT/second")
printf 'Content-Type: text/plain\r\nX-Truth: %s\r\n\r\n%s' "$HTTP_X_TRUTH" "$body"
