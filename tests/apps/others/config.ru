# SPDX-License-Identifier: Apache-2.0
require 'net/http'

run lambda { |env|
  truth = env['HTTP_X_TRUTH'].to_s
  body = +''
  Net::HTTP.start('127.0.0.1', ENV['BACKEND_PORT'].to_i) do |http|
    %w[/first /second].each { |path| body << http.get(path, 'X-Truth' => truth).body.to_s }
  end
  [200, { 'Content-Type' => 'text/plain', 'Content-Length' => body.bytesize.to_s, 'X-Truth' => truth }, [body]]
}
