<%@ WebHandler Class="samples::Fanout, fanout" %>
