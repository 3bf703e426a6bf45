# Makes large logs from fixed formulas, so that they are the same on every machine. To be sourced.

# One line in some thousand is a failure that does not end the server; at the end comes the one that does.
make_log() { # KIND MEGABYTES
    LC_ALL=C awk -v kind="$1" -v bytes="$(($2 * 1000000))" '
    function clock(n) { n = int(n / 40); return sprintf("%02d:%02d:%02d", int(n / 3600) % 24, int(n / 60) % 60, n % 60) }
    function say(line) { print line; size += length(line) + 1 }
    function vllm(n, source) { return "INFO 03-14 " clock(n) " [" source "] " }
    function prompt(n) { return "Explain in " (n % 90 + 10) " words how a tide gauge works, and list " (n % 7 + 2) " places that have had one for long.\\n\\nPlease write for readers who have never seen the sea, and avoid technical terms where there are others." }
    function serving(n,   k) {
        k = n % 20
        if (k < 9) say("INFO:     10.0." (n % 7) "." (n % 250) ":" (40000 + n % 20000) " - \"POST /v1/chat/completions HTTP/1.1\" 200 OK")
        else if (k < 11) say("INFO:     127.0.0.1:" (40000 + n % 20000) " - \"GET /metrics HTTP/1.1\" 200 OK")
        else if (k < 13) say(vllm(n, "loggers.py:111") "Engine 000: Avg prompt throughput: " (n % 900) "." (n % 10) " tokens/s, Avg generation throughput: " (n % 300) "." (n % 10) " tokens/s, Running: " (n % 32) " reqs, Waiting: 0 reqs, GPU KV cache usage: " (n % 97) "." (n % 10) "%, Prefix cache hit rate: " (n % 60) "." (n % 10) "%")
        else if (k < 15) say(vllm(n, "logger.py:39") "Received request chatcmpl-" n ": prompt: \x27<|im_start|>user\\n" prompt(n) "<|im_end|>\\n<|im_start|>assistant\\n\x27, params: SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, temperature=0.7, top_p=0.95, top_k=-1, min_p=0.0, seed=None, stop=[], stop_token_ids=[], max_tokens=" (n % 900) ", min_tokens=0, logprobs=None, skip_special_tokens=True), prompt_token_ids: None, lora_request: None, prompt_adapter_request: None.")
        else if (k < 17) say(vllm(n, "async_llm.py:271") "Added request chatcmpl-" n ".")
        else say("DEBUG 03-14 " clock(n) " [scheduler.py:" (n % 800) "] request chatcmpl-" n " has " (n % 4000) " tokens computed, " (n % 16) " blocks held, step took " (n % 40) "." (n % 10) " ms")
    }
    function router(n,   k) {
        k = n % 10
        if (k < 7) say("2025-03-14T" clock(n) "." sprintf("%06d", n * 37 % 1000000) "Z  INFO generate{parameters=GenerateParameters { best_of: None, temperature: Some(0.7), repetition_penalty: None, top_k: None, top_p: Some(0.95), typical_p: None, do_sample: true, max_new_tokens: Some(" (n % 900) "), return_full_text: None, stop: [], truncate: None, watermark: false, details: true, seed: None } total_time=\"1." (n % 1000) "s\" validation_time=\"412.3µs\" queue_time=\"51.2µs\" inference_time=\"1." (n % 1000) "s\" time_per_token=\"22.4ms\" seed=\"Some(" n ")\"}: text_generation_router::server: router/src/server.rs:322: Success")
        else say("2025-03-14T" clock(n) "." sprintf("%06d", n * 37 % 1000000) "Z DEBUG next_batch{min_size=None max_size=None prefill_token_budget=4096 token_budget=" (n % 32768) "}: text_generation_router::infer: router/src/infer.rs:271: Prefill batch size: " (n % 4 + 1))
    }
    function refused(n) { say("ERROR 03-14 " clock(n) " [serving_chat.py:200] ValueError: This model\x27s maximum context length is 8192 tokens. However, you requested " (8200 + n % 900) " tokens in the messages, Please reduce the length of the messages.") }
    function start() {
        say("INFO 03-14 00:00:00 [api_server.py:1042] vLLM API server version 0.8.5")
        say("INFO 03-14 00:00:01 [api_server.py:1043] args: Namespace(host=\x270.0.0.0\x27, port=8000, model=\x27acme/owl-7b\x27, max_model_len=8192, gpu_memory_utilization=0.9)")
        say("INFO 03-14 00:00:20 [gpu_model_runner.py:1347] Model loading took 13.5000 GiB and 12.100000 seconds")
        say("INFO 03-14 00:00:40 [kv_cache_utils.py:634] GPU KV cache size: 52,000 tokens")
        say("INFO:     Application startup complete.")
    }
    function death(n) {
        say("ERROR 03-14 " clock(n) " [core.py:398] EngineCore encountered a fatal error.")
        say("ERROR 03-14 " clock(n) " [core.py:398] Traceback (most recent call last):")
        say("ERROR 03-14 " clock(n) " [core.py:398]   File \"/usr/lib/python3.12/site-packages/vllm/v1/worker/gpu_model_runner.py\", line 1100, in execute_model")
        say("ERROR 03-14 " clock(n) " [core.py:398]     hidden_states = self.model(input_ids)")
        say("ERROR 03-14 " clock(n) " [core.py:398] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 23.55 GiB of which 101.00 MiB is free. Process 41 has 23.44 GiB memory in use. Of the allocated memory 22.50 GiB is allocated by PyTorch, and 512.00 MiB is reserved by PyTorch but unallocated.")
        say("INFO:     Shutting down")
    }
    function errors(n) {
        say("ERROR 03-14 " clock(n) " [serving_chat.py:200] Error in request chatcmpl-" n)
        say("ERROR 03-14 " clock(n) " [serving_chat.py:200] Traceback (most recent call last):")
        say("ERROR 03-14 " clock(n) " [serving_chat.py:200]   File \"/srv/app/serve_" (n % 50) ".py\", line " (n % 900) ", in handle")
        say("ERROR 03-14 " clock(n) " [serving_chat.py:200]     raise ValueError(text)")
        refused(n)
    }
    BEGIN {
        start()
        while (size < bytes) {
            n++
            if (kind == "errors") errors(n)
            else if (kind == "router") router(n)
            else serving(n)
            if (kind == "serving" && n % 20000 == 0) refused(n)
        }
        if (kind != "quiet") death(n)
    }'
}

# The same lines as Docker's json-file driver keeps them.
as_json_file() {
    LC_ALL=C awk '{
        gsub(/\\/, "\\\\"); gsub(/"/, "\\\"")
        printf "{\"log\":\"%s\\n\",\"stream\":\"stderr\",\"time\":\"2025-03-14T%02d:%02d:%02d.%06d000Z\"}\n", $0, NR / 144000 % 24, NR / 2400 % 60, NR / 40 % 60, NR * 37 % 1000000
    }'
}

# The same lines as a Kubernetes node keeps them.
as_cri() {
    LC_ALL=C awk '{ printf "2025-03-14T%02d:%02d:%02d.%06d000Z stderr F %s\n", NR / 144000 % 24, NR / 2400 % 60, NR / 40 % 60, NR * 37 % 1000000, $0 }'
}
