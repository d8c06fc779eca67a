# SPDX-License-Identifier: Apache-2.0
# HTTP::Daemon as its manual has it, in processes made beforehand: prefork.pl PORT BACKEND_PORT WORKERS.
use strict;
use warnings;
use HTTP::Daemon;
use HTTP::Response;
use LWP::UserAgent;

my ($port, $backend, $workers) = @ARGV;
my $daemon = HTTP::Daemon->new(LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1, Listen => 256) or die "$!";

sub serve {
	my ($agent, $client) = @_;
	while (my $request = $client->get_request) {
		my $truth = $request->header('X-Truth') // '';
		my $body = join '', map { $agent->get("http://127.0.0.1:$backend/$_", 'X-Truth' => $truth)->content } qw(first second);
		$client->send_response(HTTP::Response->new(200, 'OK', ['X-Truth' => $truth, 'Content-Length' => length $body], $body));
	}
	$client->close;
}

my @children;
for (1 .. $workers) {
	my $pid = fork // die "$!";
	if (!$pid) {
		my $agent = LWP::UserAgent->new(keep_alive => 1);
		while (1) {
			my $client = $daemon->accept or next;
			serve($agent, $client);
		}
	}
	push @children, $pid;
}
$SIG{TERM} = sub { kill TERM => @children };
1 while wait != -1;
