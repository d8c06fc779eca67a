# SPDX-License-Identifier: Apache-2.0
"""The ways of spread.py behind WSGI: `application` plain, `app` with Flask."""

import flask

import spread


def application(environ, start_response):
    truth = environ.get("HTTP_X_TRUTH", "")
    body = spread.serve(environ["PATH_INFO"], truth)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("X-Truth", truth)])
    return [body]


app = flask.Flask("app")


@app.route("/<way>")
def serve(way):
    truth = flask.request.headers.get("X-Truth", "")
    return spread.serve(way, truth), {"X-Truth": truth}
