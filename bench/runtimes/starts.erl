%% starts.erl - children by Erlang's open_port, one process waits for all
%%
%% Called by bench/run.py; see README.md for the options.
-module(starts).
-export([main/1]).

main(Words) ->
    Options = pairs(Words, #{}),
    Child = maps:get("--child", Options),
    Concurrency = number("--concurrency", Options, 16),
    run(Child, number("--warmup", Options, 50), Concurrency, none),
    {Before, _} = statistics(runtime),
    Begin = erlang:monotonic_time(nanosecond),
    Until = case number("--for-ms", Options, 0) of
                0 -> none;
                Limit -> Begin + Limit * 1000000
            end,
    Reaped = run(Child, number("--children", Options, 1000), Concurrency,
                 Until),
    Wall = (erlang:monotonic_time(nanosecond) - Begin) / 1000,
    {After, _} = statistics(runtime),
    io:format("{\"peer\": \"erlang\", \"version\": \"~s\", \"reaped\": ~b, "
              "\"us_per_child\": ~.3f, \"cpu_us\": ~.3f}~n",
              [erlang:system_info(otp_release), Reaped, Wall / Reaped,
               (After - Before) * 1000 / Reaped]).

pairs([Name, Value | Rest], Options) ->
    pairs(Rest, Options#{Name => Value});
pairs(_, Options) ->
    Options.

number(Name, Options, Otherwise) ->
    case Options of
        #{Name := Text} -> list_to_integer(Text);
        _ -> Otherwise
    end.

%% Until so many are started or the time is over; how many.
run(Child, Children, Concurrency, Until) ->
    run(Child, Children, Concurrency, Until, 0, 0).

run(Child, Children, Concurrency, Until, Started, Running) ->
    More = Started < Children andalso
        (Until =:= none orelse erlang:monotonic_time(nanosecond) < Until),
    if
        More andalso Running < Concurrency ->
            open_port({spawn_executable, Child}, [exit_status]),
            run(Child, Children, Concurrency, Until, Started + 1, Running + 1);
        Running > 0 ->
            receive
                {_, {exit_status, 0}} ->
                    run(Child, Children, Concurrency, Until, Started,
                        Running - 1);
                {_, {exit_status, Status}} ->
                    io:format(standard_error,
                              "starts.erl: a child ended with ~b~n", [Status]),
                    halt(2)
            end;
        true ->
            Started
    end.
