-- Ends the sessions of a server that is marked down, as `on-marked-down shutdown-sessions` is to do it. That leaves those
-- which are just connecting to it open for ever (seen with HAProxy 3.0.11): their clients hang. So a server that answers
-- its check loses its sessions at once, to one that does not they end by `timeout connect` first.

local CONNECTING = {{ connecting_s }} -- seconds that a session may take to fail to connect, and a little
local PAUSE = 100 -- milliseconds
local DONE = math.huge
local due = {} -- when the sessions of a server that is down are ended, by its name

local function now()
    local time = core.now()
    return time.sec + time.usec / 1e6
end

local function look(name, server)
    local stats = server:get_stats()
    if not string.find(stats.status, "^DOWN") then
        due[name] = nil
        return
    end
    if not due[name] then
        -- A status: another one leads. Whoever connects to it is connected within a moment.
        local answers = string.find(stats.check_status or "", "L7STS", 1, true)
        due[name] = now() + (answers and 0 or CONNECTING)
    end
    if due[name] <= now() then
        server:shut_sess()
        due[name] = DONE
    end
end

core.register_task(function()
    while true do
        for backend_name, backend in pairs(core.backends) do
            for server_name, server in pairs(backend.servers) do
                -- A server may be deleted meanwhile; an error would end this task, and with it all that it does.
                local done, problem = pcall(look, backend_name .. "/" .. server_name, server)
                if not done then core.log(core.warning, "end-sessions: " .. tostring(problem)) end
            end
        end
        core.msleep(PAUSE)
    end
end)
