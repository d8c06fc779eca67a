# SPDX-License-Identifier: Apache-2.0
use strict;
use warnings;
use LWP::UserAgent;

my $agent = LWP::UserAgent->new(keep_alive => 1);
sub {
	my ($env) = @_;
	my $truth = $env->{HTTP_X_TRUTH} // '';
	my $body = join '', map { $agent->get("http://127.0.0.1:$ENV{BACKEND_PORT}/$_", 'X-Truth' => $truth)->content } qw(first second);
	return [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $body, 'X-Truth' => $truth], [$body]];
};
