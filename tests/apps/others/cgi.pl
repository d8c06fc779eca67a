#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
use strict;
use warnings;
use LWP::UserAgent;

my $truth = $ENV{HTTP_X_TRUTH} // '';
my $agent = LWP::UserAgent->new(keep_alive => 1);
my $body = join '', map { $agent->get("http://127.0.0.1:$ENV{BACKEND_PORT}/$_", 'X-Truth' => $truth)->content } qw(first second);
print "Content-Type: text/plain\r\nX-Truth: $truth\r\n\r\n$body";
