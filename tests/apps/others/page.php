<?php
// SPDX-License-Identifier: Apache-2.0
// Two calls, each by another of PHP's own clients: its streams, and the curl extension with connections that it keeps.
$truth = $_SERVER['HTTP_X_TRUTH'] ?? '';
$backend = 'http://127.0.0.1:' . getenv('BACKEND_PORT');
$header = "X-Truth: $truth";
$body = file_get_contents("$backend/streams", false, stream_context_create(['http' => ['header' => $header]]));
$curl = curl_init("$backend/curl");
curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => [$header]]);
$body .= curl_exec($curl);
header("X-Truth: $truth");
header('Content-Length: ' . strlen($body));
echo $body;
